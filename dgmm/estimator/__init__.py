"""scikit-learn's interface: arrays and Zarr in, results in memory."""
