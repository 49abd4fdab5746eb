"""State that belongs to a process: BLAS threads, its environment and memory, a request to stop,
cached rows.
"""
