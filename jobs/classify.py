"""Recognises speakers by the frames of their utterances: a mixture for each, fitted together.

The sample is made by formula: six speakers with 20 utterances each of 50 frames; a frame is one of
four sounds, which every speaker says a little differently. The speaker of the last utterance is not
known.

    python jobs/classify.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sample_job import needs, run_sample

N_SPEAKERS, N_UTTERANCES, N_FRAMES, N_FEATURES = 6, 20, 50, 5


def write(path: Path) -> None:
    """Write the Parquet file."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - its absence is explained
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above
    except ImportError as error:
        raise needs("dgmm[table]", error) from error
    rng = np.random.default_rng(0)
    sounds = rng.normal(scale=3.0, size=(4, N_FEATURES))
    own = sounds + rng.normal(scale=0.7, size=(N_SPEAKERS, 4, N_FEATURES))
    utterance = np.repeat(np.arange(N_SPEAKERS * N_UTTERANCES), N_FRAMES)
    speaker = utterance // N_UTTERANCES
    frames = own[speaker, rng.integers(4, size=len(utterance))]
    frames = frames + rng.normal(size=frames.shape)
    names = [f"speaker {number + 1}" for number in speaker[:-N_FRAMES]]
    columns = {f"c{i + 1}": frames[:, i] for i in range(N_FEATURES)}
    columns |= {"utterance": utterance, "speaker": [*names, *([None] * N_FRAMES)]}
    pq.write_table(pa.table(columns), path)


def main(argv: list[str] | None = None) -> int:
    """Write the sample and fit it."""
    about = "Recognise speakers by the frames of their utterances."
    return run_sample(about, write, "speech.parquet", "classify.yaml", argv)


if __name__ == "__main__":
    sys.exit(main())
