"""Prepare: a source's rows, read once in parts, become plain rows that EM reads again and again.

`groups` says which parts a task reads, `prepare` reads and writes them and resumes.
"""
