"""HDF5 files, by h5py: arrays by dataset path, and what AnnData keeps in `.h5ad`."""
