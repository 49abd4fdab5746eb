"""Labelled arrays: variables of Zarr groups and NetCDF files, whose places are rows.

The only package that imports xarray. `labelled_source.open_labelled` opens them; rows run chunk by
chunk of the first variable (`dgmm.data.sample_grid`).
"""
