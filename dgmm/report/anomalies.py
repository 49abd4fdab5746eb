"""The most anomalous rows, with the features that are the reason, and how rows were flagged."""

from __future__ import annotations

import csv
from itertools import islice
from typing import Any

from dgmm.report.formatting import MISSING, number, percent, shortened
from dgmm.report.run_data import RunRecord
from dgmm.report.table import Table

_MOST_ROWS, _MOST_IDS, _WIDEST = 50, 4, 80
#: Rows that the page shows at once.
_OPEN = 10
#: Of a further reason that is shown.
_LEAST_LOSS = 9.0
#: Columns of the table that are no ids; with a prefix where an id is called so.
_RESULTS = ("log_density", "anomaly", "component", "squared_distance")
_PREFIX = "dgmm_"
_SHOWN = (
    *("log density", "component", "squared distance"),
    *("reason", "observed", "expected", "sd", "loss", "further reasons"),
)
_RULES = {
    "quantile": "that share of the fitted rows lies below it",
    "rate": "that share of the rows scored here lies below it",
    "log_density": "given by the job",
    "model": "the model's own",
}


def anomaly_table(record: RunRecord) -> Table | None:
    """The rows of lowest log density, lowest first, with up to three reasons each."""
    delivered = record.section("delivered").get("anomalies")
    if not isinstance(delivered, dict):
        return None
    path = record.directory / str(delivered.get("path")) / "rows.csv"
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        columns = list(reader.fieldnames or ())
        rows = list(islice(reader, _MOST_ROWS))
    # The last one: an id may be called so, too.
    first = max((i for i, name in enumerate(columns) if _bare(name) == "log_density"), default=1)
    ids = columns[1:first][:_MOST_IDS]
    named = {_bare(name): name for name in columns[first:]}
    header = ("row", *ids, *_SHOWN)
    cells = [(_number(str(row[columns[0]]), 15), *_cells(row, ids, named)) for row in rows]
    text = {*range(1, len(ids) + 1), len(ids) + 4, len(header) - 1}
    numeric = frozenset(range(len(header))) - text
    note = (
        "The reason is the feature whose value the other features of the row did not expect: its "
        "value, mean and standard deviation given the others, and what the squared distance from "
        "the row's component loses without it. Further ones, of a loss of 9 or more, are found "
        "without those before them."
    )
    if isinstance(n := delivered.get("rows"), int) and n > len(rows):
        note = f"The first {len(rows)} of {n:,} in {path.parent.name}/. {note}"
    return Table("Most anomalous rows", header, cells, numeric, note, n_open=_OPEN)


def flagging_table(record: RunRecord) -> Table | None:
    """How many rows were flagged, below which log density, and where that comes from."""
    anomaly = record.section("anomaly")
    if not anomaly:
        return None
    share = anomaly.get("quantile")
    shown = percent(share) if isinstance(share, float) else MISSING
    rule = _RULES.get(str(anomaly.get("rule", "quantile")), MISSING)
    row = (number(anomaly.get("n_anomalies")), number(anomaly.get("threshold"), 6), shown, rule)
    header = ("rows flagged", "log density below", "share", "the threshold is")
    return Table("Flagged rows", header, [row], frozenset({0, 1, 2}))


def _cells(row: dict[str, Any], ids: list[str], named: dict[str, str]) -> tuple[str, ...]:
    def of(name: str) -> str:
        return str(row.get(named.get(name, ""), "") or "")

    def reason(i: int) -> tuple[str, ...]:
        numbers = (_number(of(f"{what}_{i}")) for what in ("observed", "expected", "sd", "loss"))
        return shortened(of(f"feature_{i}"), _WIDEST), *numbers

    further = [
        f"{name} {seen}, expected {mean} ± {sd} (loss {loss})"
        for name, seen, mean, sd, loss in (reason(i) for i in (2, 3) if _matters(of(f"loss_{i}")))
    ]
    return (
        *(shortened(str(row.get(name) or ""), _WIDEST) for name in ids),
        *(_number(of("log_density"), 6), _number(of("component")), _number(of("squared_distance"))),
        *reason(1),
        "; ".join(further),
    )


def _bare(name: str) -> str:
    """A result's name where an id of that name has given it a prefix."""
    bare = name.removeprefix(_PREFIX)
    return bare if bare in _RESULTS or bare.rpartition("_")[2].isdigit() else name


def _matters(loss: str) -> bool:
    """Whether a further reason is one: its value is 3 standard deviations off."""
    try:
        return float(loss) >= _LEAST_LOSS
    except ValueError:
        return False


def _number(text: str, digits: int = 4) -> str:
    try:
        return number(int(text) if text.isdecimal() else float(text), digits)
    except ValueError:
        return MISSING
