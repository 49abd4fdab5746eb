"""The summary pass: one read of all rows for counts, moments, extremes and a uniform sample."""
