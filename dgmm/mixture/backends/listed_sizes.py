"""From which sizes on moments are taken component by component: see `listed_moments`."""

from __future__ import annotations

from typing import Final

#: From so many components and rows of Φ on it pays; sums of fewer stay in registers.
LEAST_COMPONENTS: Final = 256
LEAST_WIDTH: Final = 64
