"""Arrays in Zarr, versions 2 and 3: how they are found, checked, read and written.

The only package that imports zarr and numcodecs.
"""
