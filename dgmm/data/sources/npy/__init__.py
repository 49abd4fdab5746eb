"""NumPy's files: `.npy`, and the members of `.npz`; pickled objects are never loaded.

They are read in pieces and not mapped into memory: pages of a map count as the process's own, and
a file that is cut while it is mapped ends the process.
"""
