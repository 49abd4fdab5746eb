"""What the weights of rows mean; only whoever made them knows."""

from __future__ import annotations

from typing import Literal, get_args

#: `counts`: a row of weight 3 stands for three equal rows, so that all rows are Σw. `importance`:
#: weights matter by their ratios alone (survey weights, importance sampling, areas of grid cells),
#: and the rows are as many as they are.
WeightKind = Literal["counts", "importance"]
WEIGHT_KINDS: tuple[WeightKind, ...] = get_args(WeightKind)
