"""Two output arrays that no job has of its own; as a script, `killed_run` with them registered.

python extra_outputs.py POINT N JOB
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.scoring.output_registry import ROW_OUTPUTS, RowOutput, ScoredBlock


def posteriors_of(scored: ScoredBlock) -> NDArray[Any]:
    assert scored.posteriors is not None
    return scored.posteriors


def entropy(scored: ScoredBlock) -> NDArray[Any]:
    R = posteriors_of(scored)
    return -(R * np.log(np.where(R > 0, R, 1))).sum(axis=1)


def ranks(scored: ScoredBlock) -> NDArray[Any]:
    """0 for the most probable component, and so on."""
    return np.argsort(np.argsort(-posteriors_of(scored), axis=1), axis=1)


EXTRA = (
    RowOutput("entropy", "float32", -9.0, entropy, "entropy", needs_posteriors=True),
    RowOutput("ranks", "int16", -1, ranks, "ranks", is_per_component=True, needs_posteriors=True),
)

if __name__ == "__main__":
    import killed_run

    ROW_OUTPUTS.update({output.name: output for output in EXTRA})
    sys.exit(killed_run.main(*sys.argv[1:]))
