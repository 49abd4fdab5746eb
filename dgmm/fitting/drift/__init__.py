"""Drift: what one E-step of a fitted model on new rows says of them.

`drift_pass` is the pass, `measure` the size of what has changed in each component and how far it
exceeds chance, `alarms` the rule that makes an alarm of both.
"""
