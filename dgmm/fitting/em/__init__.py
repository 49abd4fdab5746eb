"""Expectation-maximisation: the loop, its state, when it stops, what it does about collapse."""
