"""Transformations of features before a fit: fitted to rows, applied, undone where that is possible.

Pure NumPy. `elementwise` changes each value alone, `principal_components` combines columns, and
`centred_scatter` is what the latter is fitted from.
"""
