"""Tiles to statistics, in two ways that give the same parameters.

`product` turns a pass into two matrix products and is the fast one; `centred` works with deviations
from each component's own mean and is right at any offset. `choose` takes the first where the guard
allows it.
"""

from dgmm.mixture.kernels.centred import CentredKernel
from dgmm.mixture.kernels.guard import Guard, choose
from dgmm.mixture.kernels.product import ProductKernel
from dgmm.mixture.kernels.tiles import Kernel, Workspace, e_step

__all__ = ["CentredKernel", "Guard", "Kernel", "ProductKernel", "Workspace", "choose", "e_step"]
