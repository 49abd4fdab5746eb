"""Results in the form of their source: tables part by part, maps with dimensions and coordinates.

They are written from the finished row arrays of a run, by tasks that each own whole files or
chunks.
"""
