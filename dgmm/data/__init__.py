"""Data sets: how rows are read, measured and written. The only package that imports Zarr."""
