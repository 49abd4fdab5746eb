"""Transformations of features before a fit: fitted to rows, applied, undone where that is possible.

Pure NumPy. `elementwise` changes each value alone, `principal_components` combines columns. What
they are fitted from is merged block by block: `column_moments`, `row_sample`, `centred_scatter`.
`asked_step` is a step as a job has it, `fitted_step` the same with its numbers, and
`preprocessing` all of them in order.
"""
