"""What a data set on disk is, how its rows are read and written. The only room that knows Zarr."""
