"""Several models of one data set: fitted in the same passes, compared by criteria, one chosen."""
