"""The layers of the package: the list that `tests/test_architecture.py` holds the code to, drawn.

`python docs/layers.py` writes `docs/images/layers.svg` from the imports; a test finds it stale.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PACKAGE = DOCS.parent / "dgmm"
PICTURE = DOCS / "images" / "layers.svg"

#: Bottom to top. A module imports from lines above its own in this list, and from its own line; no
#: packages of a line, and no modules of a package, import each other in a circle. "" is the package
#: `dgmm` itself: what stands in it is imported when it is first asked for.
LAYERS = (
    (
        *("errors", "exit_codes", "outcome", "events", "random_streams", "version"),
        *(
            "terminal_text",
            "record_schema",
            "run_record",
            "selection_record",
            "anomaly_record",
            "drift_record",
            "noise_record",
            "missing_record",
            "classification_record",
            "comparison_record",
            "parameter_names",
            "registry",
            "sklearn_classes",
            "plain_estimator",
            "python_warnings",
        ),
    ),
    ("runtime",),
    ("storage",),
    ("reduction",),
    ("mixture",),
    ("data",),
    ("execution",),
    ("ingest", "delivery"),
    ("scoring",),
    ("model",),
    ("fitting",),
    ("report", "config", "checkpoint"),
    ("job", "estimator"),
    ("cli", "__main__", ""),
)
#: Drawn: packages, and the modules of the lowest layer as one box.
ABOUT = {
    "words": "and random streams, terminal text: nothing but values",
    "runtime": "BLAS threads, memory, stop flag, cached rows",
    "storage": "atomic files, array files, retry, folder handles",
    "reduction": "blocks, the fixed tree, map-reduce",
    "mixture": "parameters, covariance families, kernels, backends",
    "data": "data sets, standardisation, Zarr, the summary pass",
    "execution": "threads and Dask clusters",
    "ingest": "sources' rows, read once and written plainly",
    "delivery": "results in the form of their source",
    "model": "a fitted mixture and its files",
    "fitting": "preparation, starts, EM",
    "scoring": "labels, posteriors, densities, anomalies",
    "report": "one page",
    "config": "job files",
    "checkpoint": "a run's state",
    "job": "run, predict, plan",
    "estimator": "scikit-learn's interface",
    "cli": "commands, exit status",
}
_WIDTH, _ROW, _BOX = 820, 62, 40


def imported(path: Path) -> Iterator[str]:
    """The dotted names below `dgmm` that a file imports, late imports included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dgmm":
            yield from (f"{node.module}.{alias.name}".removeprefix("dgmm.") for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("dgmm.")]
            yield from (name.removeprefix("dgmm.") for name in names)


def box_of(name: str) -> str:
    """The box that a dotted name below `dgmm` lies in."""
    first = name.split(".", maxsplit=1)[0]
    return "words" if first in LAYERS[0] else first


def uses() -> dict[str, set[str]]:
    """Which boxes each box imports from."""
    found: dict[str, set[str]] = {box: set() for box in ABOUT}
    for path in sorted(PACKAGE.rglob("*.py")):
        box = box_of(path.relative_to(PACKAGE).with_suffix("").parts[0])
        if box in found:
            found[box] |= {b for b in map(box_of, imported(path)) if b in ABOUT and b != box}
    return found


def without_detours(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that no longer path stands for (the transitive reduction)."""

    def reach(box: str) -> set[str]:
        return graph[box].union(*(reach(other) for other in graph[box]))

    return {
        box: {o for o in others if not any(o in reach(p) for p in others if p != o)}
        for box, others in graph.items()
    }


def _places() -> dict[str, tuple[float, float, float]]:
    """Left edge, top and width of each box, the highest layer first."""
    rows = [[b for b in line if b in ABOUT] for line in reversed(LAYERS)]
    rows[-1] = ["words"]
    places = {}
    for row, boxes in enumerate(rows):
        width = (_WIDTH - 40 - 20 * (len(boxes) - 1)) / len(boxes)
        width = min(width, 360)
        left = (_WIDTH - len(boxes) * width - 20 * (len(boxes) - 1)) / 2
        for i, box in enumerate(boxes):
            places[box] = left + i * (width + 20), 14 + row * _ROW, width
    return places


def picture() -> str:
    """The layers as SVG: a box for each package, an arrow for each import that no path implies."""
    places, graph = _places(), without_detours(uses())
    height = max(top for _, top, _ in places.values()) + _BOX + 14
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">'
        ),
        "<title>The packages of dgmm in layers; arrows are imports</title>",
        (
            '<marker id="head" markerWidth="7" markerHeight="6" refX="6" refY="3" orient="auto">'
            '<path d="M0,0 L7,3 L0,6 z" fill="#8a94a6"/></marker>'
        ),
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for box, others in graph.items():
        lines += [_arrow(places[box], places[other]) for other in sorted(others)]
    lines += [_drawn(box, *place) for box, place in places.items()]
    return "\n".join([*lines, "</svg>", ""])


def _arrow(origin: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    """Straight to the next layer; around the boxes between where it passes some."""
    (x0, y0, w0), (x1, y1, w1) = origin, end
    a, b = x0 + w0 / 2, x1 + w1 / 2
    start, stop = y0 + _BOX, y1 - 1
    style = 'fill="none" stroke="#8a94a6" marker-end="url(#head)"'
    if y1 - y0 <= _ROW:
        return f'<path d="M{a:.0f},{start:.0f} L{b:.0f},{stop:.0f}" {style}/>'
    side = -1 if (x0 + w0 / 2) <= _WIDTH / 2 and w0 < 300 else 1
    edge = _WIDTH / 2 + side * (230 + (y1 - y0) / _ROW * 12)
    enter = x1 if side < 0 else x1 + w1
    middle = y1 + _BOX / 2
    leave = x0 + w0 / 2 if w0 < 300 else (x0 if side < 0 else x0 + w0)
    top = start if w0 < 300 else y0 + _BOX / 2
    return (
        f'<path d="M{leave:.0f},{top:.0f} C{edge:.0f},{top + 20:.0f} {edge:.0f},{middle - 20:.0f} '
        f'{enter:.0f},{middle:.0f}" {style}/>'
    )


def _drawn(box: str, left: float, top: float, width: float) -> str:
    name = "errors, outcome, events, …" if box == "words" else box
    centre = left + width / 2
    about = escape(ABOUT[box])
    second = (
        f'<text x="{centre:.0f}" y="{top + 32:.0f}" fill="#4a5568" font-size="11">{about}</text>'
    )
    first = f'<text x="{centre:.0f}" y="{top + 17:.0f}" font-weight="bold">{escape(name)}</text>'
    return (
        f'<g text-anchor="middle"><rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" '
        f'height="{_BOX}" rx="5" fill="#eef3fb" stroke="#5b7db1"/>{first}{second}</g>'
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
