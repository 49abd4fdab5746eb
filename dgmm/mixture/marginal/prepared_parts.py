"""Patterns that are prepared are kept for the length of a task."""

from __future__ import annotations

from collections import OrderedDict

from dgmm.mixture.backends import Backend
from dgmm.mixture.marginal.kernel_parts import KernelPart
from dgmm.mixture.marginal.marginal_kernel import MarginalKernel
from dgmm.mixture.marginal.patterns import Mask

#: Patterns kept, and bytes that they may take; the least recently used are dropped.
MOST_PATTERNS, MOST_BYTES = 4096, 64 * 1024 * 1024


class PreparedParts:
    """What kernels apply to patterns; no bit follows what is kept."""

    def __init__(self) -> None:
        self._parts: OrderedDict[tuple[int, str, bytes], KernelPart] = OrderedDict()
        self._n_bytes = 0

    def part(self, kernel: MarginalKernel, observed: Mask, backend: Backend) -> KernelPart:
        """Of a kernel that outlives this object."""
        key = (id(kernel), backend.name, observed.tobytes())
        if (found := self._parts.get(key)) is not None:
            self._parts.move_to_end(key)
            return found
        made = self._parts[key] = kernel.part(observed, backend)
        self._n_bytes += made.n_bytes
        while len(self._parts) > 1 and (
            len(self._parts) > MOST_PATTERNS or self._n_bytes > MOST_BYTES
        ):
            self._n_bytes -= self._parts.popitem(last=False)[1].n_bytes
        return made
