"""A fitted mixture: what prediction needs, and its files."""
