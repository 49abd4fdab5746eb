"""What an initialiser is: how starts are drawn, and how many of them are worth drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dgmm.errors import DataError
from dgmm.fitting.initialisation.all_rows import AllRows
from dgmm.fitting.initialisation.start_request import Method, StartRequest
from dgmm.mixture.parameters import Parameters

#: From all rows, what every start asks for, the seed, and what names each start.
AllRowsMethod = Callable[
    [AllRows, Sequence[StartRequest], int, Sequence[tuple[int, ...]]], list[Parameters]
]


def _reads_all_rows(_: StartRequest) -> Parameters:
    raise DataError("this initialiser reads all rows; expected one that takes a sample")


@dataclass(frozen=True, slots=True)
class Initialiser:
    """How starts are drawn.

    Attributes
    ----------
    draw : callable
        From a `StartRequest` to `Parameters`, on a sample, in this process.
    draw_all : callable, optional
        Draws every start from all rows, in place of `draw`; they share their reads.
    follows_metric : bool
        Whether `request.scale` changes what is drawn: starts then take the metrics in turn.
    one_per_metric : bool
        Whether one start in each metric is enough, because others would be equal or too slow.
    is_given : bool
        Whether a start comes from the user and nothing is drawn: `draw` takes `request.given`, or
        says where such a start is asked for.
    """

    draw: Method = _reads_all_rows
    draw_all: AllRowsMethod | None = None
    follows_metric: bool = True
    one_per_metric: bool = False
    is_given: bool = False
