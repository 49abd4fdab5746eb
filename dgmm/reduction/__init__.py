"""Map-reduce with bits that do not depend on who computes: blocks, the fixed tree, checksums."""
