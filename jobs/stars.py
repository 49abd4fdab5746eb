"""Clusters a catalogue with missing values and weights: stars, as a masked table of astropy's.

The sample is made by formula: 20,000 stars of three kinds (main sequence, giants, white dwarfs) by
colour, absolute magnitude and speed. One in ten lacks a colour, which the column `color.mask` marks
as astropy writes it, and `completeness` weighs each star by how many like it were missed.

    python jobs/stars.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sample_job import needs, run_sample

N_STARS = 20_000
SHARES = [0.85, 0.1, 0.05]  # main sequence, giants, white dwarfs


def write(path: Path) -> None:
    """Write the Parquet file."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - its absence is explained
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above
    except ImportError as error:
        raise needs("dgmm[table]", error) from error
    rng = np.random.default_rng(0)
    kind = rng.choice(3, size=N_STARS, p=SHARES)
    noise = rng.normal(size=(3, N_STARS))
    color = np.choose(kind, [0.7 + 0.35 * noise[0], 1.1 + 0.2 * noise[0], 0.1 + 0.2 * noise[0]])
    centre = np.choose(kind, [1.5 + 5.5 * color, 1.0 - 0.5 * color, 11.5 + 4.0 * color])
    magnitude = centre + 0.4 * noise[1]
    speed = np.exp(np.array([3.0, 3.6, 3.8])[kind] + 0.5 * noise[2])
    is_masked = rng.random(N_STARS) < 0.1
    columns = {
        "name": [f"S{number:05d}" for number in range(N_STARS)],
        "color": np.where(is_masked, 0.0, color),
        "color.mask": is_masked,
        "magnitude": magnitude,
        "speed": np.log10(speed),
        "completeness": np.exp(0.25 * np.clip(magnitude - 4.0, 0.0, 8.0)),
    }
    pq.write_table(pa.table(columns), path)


def main(argv: list[str] | None = None) -> int:
    """Write the sample and fit it."""
    return run_sample("Cluster a catalogue of stars.", write, "stars.parquet", "stars.yaml", argv)


if __name__ == "__main__":
    sys.exit(main())
