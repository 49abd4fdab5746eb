"""Tiles to statistics, in two ways that give the same parameters.

`product_kernel` turns a pass into two matrix products and is the fast one; `centred_kernel` works
with deviations from each component's own mean and is exact at any offset. `guard` decides which of
the two a pass may use, so that no digits are lost; `split_kernel` applies each to the rows that
need it.
"""

from dgmm.mixture.kernels.centred_kernel import CentredKernel
from dgmm.mixture.kernels.guard import Guard, choose
from dgmm.mixture.kernels.joined_leaves import LeafSums, leaves_together
from dgmm.mixture.kernels.product_kernel import ProductKernel
from dgmm.mixture.kernels.split_kernel import BlockKernel, SplitKernel, e_step
from dgmm.mixture.kernels.tiles import Kernel, PassKernel
from dgmm.mixture.kernels.workspace import Workspace, Workspaces

__all__ = [
    "BlockKernel",
    "CentredKernel",
    "Guard",
    "Kernel",
    "LeafSums",
    "PassKernel",
    "ProductKernel",
    "SplitKernel",
    "Workspace",
    "Workspaces",
    "choose",
    "e_step",
    "leaves_together",
]
