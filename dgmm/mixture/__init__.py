"""The mathematics of a Gaussian mixture: NumPy on small arrays, without effects."""
