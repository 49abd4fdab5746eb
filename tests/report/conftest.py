"""One ordinary report for every test that only reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fabricated_runs import CHANNELS_OF_3X3, facts, mixture, run_directory
from page_reading import Page

from dgmm.fitting.comparison.label_matrix import LabelMatrix
from dgmm.report import write_report

HOSTILE_NAMES = (
    "</script><img src=x onerror=alert(1)>",
    "$x^2$",
    "a" * 100_000,
    "日本語\x1b[31m",
    r"\$5 & 50 % _{x}",
    "{{ 7 * 7 }}",
)


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose names, messages and warnings are markup; its report is written."""
    counts = np.diag(np.arange(26, 0, -1))[:, :24] + 1
    drift = {
        "against": "runs/<b>last</b>",
        "components": [],
        "labels": LabelMatrix.of(counts, (25, None)).record(),
    }
    directory = run_directory(
        tmp_path_factory.mktemp("hostile") / "run",
        mixture(3, 6, names=HOSTILE_NAMES),
        drift=drift,
        warnings=["<script>alert('warning')</script>"],
        message="<img src=http://example.com/x.png>",
        component_log=[
            {"iteration": 1, "restart": 0, "component": 2, "event": "<b>", "message": "</td>"}
        ],
    )
    write_report(directory)
    return directory


@pytest.fixture(scope="session")
def hostile_page(hostile_run: Path) -> Page:
    return Page(hostile_run / "report.html")


@pytest.fixture(scope="session")
def image_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of 30 × 40 pixels, rows of 3×3 RGB neighbourhoods; its report is written."""
    rng = np.random.default_rng(3)
    means = np.tile(rng.uniform(20, 230, size=(4, 3)), (1, 9))
    model = mixture(4, 27, names=CHANNELS_OF_3X3, means=means)
    n = 2 * 30 * 40
    data = facts(model, n)["data"] | {
        "attributes": {"sample_dims": ["image", "row", "column"], "sample_shape": [2, 30, 40]}
    }
    directory = run_directory(tmp_path_factory.mktemp("images") / "run", model, n, data=data)
    write_report(directory)
    return directory
