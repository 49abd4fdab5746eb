"""Files that appear whole or not at all, files that grow by lines, reads that are retried."""
