"""AnnData, in Zarr or HDF5: a dense array or columns of obs as rows, results by obs name."""
