"""Components merged into clusters: the entropy at each number of clusters, and the merges."""

from __future__ import annotations

from typing import Any

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis, integers
from dgmm.report.charts.svg import Drawing
from dgmm.report.figure import OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number
from dgmm.report.run_data import RunRecord
from dgmm.report.table import Table
from dgmm.terminal_text import listed

_TITLE = "Entropy by number of clusters"
_MOST_ROWS, _MOST_NAMED = 64, 12
#: Nats per row below which an entropy is rounding.
_ROUNDING = 1e-12


def merging_figure(record: RunRecord) -> ReportFigure | OmittedFigure:
    """Entropy of the sample's posteriors at each number of clusters, the chosen one marked."""
    merging = record.section("merging")
    entropies = merging.get("entropies")
    if not isinstance(entropies, list) or len(entropies) < 2:
        return OmittedFigure(_TITLE, "run.json holds no merges of components")
    k, chosen = len(entropies), int(merging["n_clusters"])
    limit, clusters = merging.get("max_entropy"), f"{chosen} cluster{'s' * (chosen != 1)}"
    caption = sentence(
        "How uncertain the cluster of a row is on average: 0 where each row is surely in one. "
        "From the right, each step merges the two clusters whose merging takes most of it away.",
        f"Chosen: {clusters} of {k} components, drawn in colour.",
        _rule(merging, entropies[k - chosen]),
    )
    value = number(entropies[k - chosen], 3)
    alt = f"Entropy falls from {number(entropies[0], 3)} to {value} nats at {clusters}."
    rows = [(number(k - i), number(entropy, 6)) for i, entropy in enumerate(entropies)]
    header = ("clusters", "entropy, nats per row")
    table = Table("Entropy at each number of clusters", header, rows, frozenset({0, 1}))
    drawing = _drawing(entropies, chosen, limit if isinstance(limit, int | float) else None)
    return ReportFigure("merging", _TITLE, caption, alt, drawing, table)


def _rule(merging: dict[str, Any], entropy: float) -> str:
    limit, least = merging.get("max_entropy"), merging.get("min_overlap")
    if not isinstance(limit, int | float):
        return "The number of clusters is that of merging.n_clusters."
    dashed = f"Dashed: merging.max_entropy = {number(limit)}."
    if entropy <= limit or not isinstance(least, int | float):
        return dashed
    return (
        f"{dashed} More is left, for the pair that would be merged next overlaps by less than "
        f"merging.min_overlap = {number(least)}."
    )


def _drawing(entropies: list[float], chosen: int, limit: float | None) -> Drawing:
    k, drawing = len(entropies), Drawing(640, 290)
    sizes = list(range(k, 0, -1))
    x = Axis(0.6, k + 0.4, "clusters", ticks=integers(1, k, 10))
    y = Axis(0.0, 1.08 * max(*entropies, limit or 0.0, 1e-9), "entropy [nats per row]")
    axes = Axes(drawing, Box(0, 0, drawing.width, drawing.height), x, y)
    axes.line(sizes, entropies, "line faint", dots=2.5)
    if limit is not None:
        axes.across(limit, "line dashed accent")
    axes.dots([chosen], [entropies[k - chosen]], "dot accent", radius=5)
    return drawing


def clusters_table(record: RunRecord) -> Table | None:
    """The components of each cluster, where some are merged."""
    merging = record.section("merging")
    clusters = merging.get("clusters")
    if not isinstance(clusters, list) or merging.get("n_clusters") == len(clusters):
        return None
    members: dict[int, list[int]] = {}
    for component, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(component)
    rows = [(number(cluster), _named(own)) for cluster, own in members.items()]
    return Table("Clusters", ("cluster", "components"), rows[:_MOST_ROWS], note=_left_out(rows))


def merges_table(record: RunRecord) -> Table | None:
    """Every merge in its order, ties named."""
    merging = record.section("merging")
    merges, entropies = merging.get("merges"), merging.get("entropies")
    if not isinstance(merges, list) or not isinstance(entropies, list) or not merges:
        return None
    k = len(entropies)
    rows: list[tuple[str, ...]] = [
        (
            number(k - step),
            f"{_named(merge['left'])} + {_named(merge['right'])}",
            number(merge["gain"], 3),
            number(merge["standard_error"], 2),
            number(merge.get("overlap"), 3),
            number(0.0 if abs(entropies[step]) < _ROUNDING else entropies[step], 3),
            _tie(merge.get("rivals")),
        )
        for step, merge in enumerate(merges, 1)
    ]
    header: tuple[str, ...] = (
        "clusters", "merged components", "gain", "standard error", "overlap", "entropy left",
        "tie with",
    )  # fmt: skip
    note = (
        f"Nats per row of {number(merging.get('sample_rows'))} sampled rows; an overlap is "
        "the gain per row of the smaller of the two. A tie is a merge whose gain is within two "
        "standard errors: other rows might have chosen it."
    )
    if not any(merge.get("rivals") for merge in merges):
        header, rows = header[:-1], [row[:-1] for row in rows]
    kept = rows[-_MOST_ROWS:]
    return Table("Merges of components", header, kept, frozenset({0, 2, 3, 4, 5}), note)


def _named(components: list[int]) -> str:
    return listed(map(str, components), _MOST_NAMED)


def _tie(rivals: Any) -> str:
    return " + ".join(map(_named, rivals)) if rivals else ""


def _left_out(rows: list[Any]) -> str:
    return f"The first {_MOST_ROWS} of {len(rows):,}." if len(rows) > _MOST_ROWS else ""
