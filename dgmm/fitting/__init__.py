"""From data to a mixture: preparation, starts, EM on a sample, EM over all rows."""
