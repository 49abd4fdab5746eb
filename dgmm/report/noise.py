"""The noise component: its share of the rows, and the box that its density is that of."""

from __future__ import annotations

from dgmm.report.formatting import number, percent, shortened
from dgmm.report.run_data import RunRecord
from dgmm.report.table import Table

_MOST_FEATURES, _WIDEST_NAME = 100, 60


def noise_table(record: RunRecord) -> Table | None:
    """The box of the noise, feature by feature, and how many rows are noise; None without noise."""
    model = record.model
    if model is None or (noise := model.noise) is None:
        return None
    shown = list(enumerate(model.feature_names))[:_MOST_FEATURES]
    rows = [
        (
            shortened(str(name), _WIDEST_NAME),
            number(float(noise.low[i]), 6),
            number(float(noise.high[i]), 6),
        )
        for i, name in shown
    ]
    left = model.n_features - len(shown)
    more = f" {left:,} more features are not listed." if left > 0 else ""
    note = (
        f"A uniform density over this box, and as high outside it. Its weight is "
        f"{percent(noise.weight)}{_labelled(record, model.n_components)}; log V = "
        f"{number(noise.log_volume, 8)}: the likelihoods of two fits compare where this is "
        f"equal.{more}"
    )
    return Table("Noise", ("feature", "from", "to"), rows, frozenset({1, 2}), note)


def _labelled(record: RunRecord, k: int) -> str:
    """Rows whose most probable component it is."""
    counts = record.facts.get("label_counts")
    if not isinstance(counts, list) or len(counts) != k + 1:
        return ""
    return f", and {number(counts[k])} rows have its label, {k}"
