"""Draws how many times as fast an EM iteration is: a dot a shape; a row a peer, family, dtype."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.measuring import machine_in_words
from benchmarks.results import Measurement, Results

_DOT, _MISSED, _GOAL = "#1f6f8b", "#c8553d", "#888888"


def draw(passes: Results, path: Path) -> None:
    """Write the picture of a `pass` benchmark."""
    speeds = [m for m in passes.measurements if "theirs_ms" in m.detail]
    parts = list(dict.fromkeys(m.part for m in speeds))
    figure, axes = plt.subplots(figsize=(8.0, 1.2 + 0.34 * max(len(parts), 1)), dpi=150)
    for row, part in enumerate(parts):
        _row(axes, row, [m for m in speeds if m.part == part])
    axes.set_xscale("log")
    axes.axvline(1.0, color=_GOAL, linewidth=0.8)
    axes.xaxis.set_major_formatter("{x:g} ×")
    axes.set_yticks(range(len(parts)), parts)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as the peer, one EM iteration (log scale)")
    axes.grid(visible=True, axis="x", which="both", linewidth=0.3, alpha=0.6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.plot([], [], "o", color=_DOT, label="one shape")
    axes.plot([], [], "o", color=_MISSED, label="goal missed")
    axes.plot([], [], "|", color=_GOAL, markersize=11, label="goal")
    axes.legend(frameon=False, ncols=3, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    figure.text(0.01, 0.005, machine_in_words(passes.about), fontsize=5.5, color="#555555")
    figure.tight_layout(rect=(0.0, 0.02, 1.0, 1.0))
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _row(axes: plt.Axes, row: int, speeds: list[Measurement]) -> None:
    for m in speeds:
        color = _MISSED if m.is_met is False else _DOT
        axes.plot(m.value, row, "o", color=color, alpha=0.75, markersize=5)
        if m.goal is not None:
            axes.plot(m.goal, row, "|", color=_GOAL, markersize=11)
