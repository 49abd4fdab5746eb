"""What a delivery is made from: the row arrays of a run, and where its own files go."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeliveryRequest:
    """The finished row arrays of one run; picklable, for workers.

    Attributes
    ----------
    outputs : str
        Path of `outputs.zarr`, which holds one array of n rows for each name.
    folder : str
        The run directory, in which the delivery makes its own files.
    names : tuple of str
        The row arrays that are there: `labels`, `max_posterior`, `log_density`, `anomaly`, …
    n_components : int
        Components that labels number from 0, the noise among them; -1 is a row without a label.
    retry_s : float
        Seconds for which reads of the source that fail transiently are tried again.
    """

    outputs: str
    folder: str
    names: tuple[str, ...]
    n_components: int
    retry_s: float = 0.0
