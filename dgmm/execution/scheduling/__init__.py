"""Which worker gets which blocks, as plain values: nothing here imports Dask."""
