"""What the measurements are held against."""

from __future__ import annotations

from dataclasses import dataclass

#: How far apart mean log-likelihoods of two sides may be after the same iterations, nats per row.
SAME_LIKELIHOOD = 5e-6
#: Ours in float32 against ours in float64.
FLOAT32_GAIN = 1.6
#: Compiled passes against NumPy's, on one of the shapes at least.
COMPILED_GAIN = 1.3
#: Labels, posteriors and log densities in memory: rows a second over those of a pass of EM.
SCORING_AGAINST_PASS = 0.8
#: Spherical, 128 features, 1024 components, float32, two cores: rows a second.
SPHERICAL_ROWS_PER_SECOND = 0.7e6
#: Many components: CPU time of NumPy's k-means start over ours; the sum of squares it ends with
#: over NumPy's, at most; seconds of a start in passes, at most; rows a second of a pass.
COMPILED_START, SUM_OF_SQUARES, START_PASSES = 1.0, 1.005, 10.0
MANY_COMPONENTS_ROWS_PER_SECOND = 0.6e6

#: A pass on two threads against one, without the M-step, which is one thread's.
SECOND_THREAD = 1.85
#: Iterations of oneDAL over ours, full and float64, by the number of features.
AGAINST_ONEDAL = {8: 2.5, 16: 2.5, 32: 2.5, 128: 1.0}

#: Whole fits: time to scikit-learn's own final mean log-likelihood.
FIT = {"full": 50.0, "tied": 200.0, "photographs": 15.0}

#: Fits, in percent, that find clusters which one feature separates.
SEPARATED_FOUND = 95.0
#: Area under the ROC curve of the log density, one digit kept from the fit.
UNSEEN_DIGIT = 0.975


@dataclass(frozen=True, slots=True)
class Shape:
    """n rows, d features, k components."""

    n: int
    d: int
    k: int

    def __str__(self) -> str:
        return f"{self.n:,} × {self.d}, k = {self.k}"


FULL = tuple(
    Shape(*sizes)
    for sizes in (
        (400_000, 2, 8),
        (400_000, 8, 16),
        (200_000, 16, 32),
        (65_536, 32, 64),
        (100_000, 32, 128),
        (50_000, 64, 32),
        (20_000, 128, 16),
    )
)
SIMPLER = (Shape(100_000, 32, 16), Shape(65_536, 32, 64), Shape(100_000, 64, 64))
LARGE = Shape(40_000, 128, 1024)

SHAPES: dict[str, tuple[Shape, ...]] = {
    "full": FULL,
    "tied": SIMPLER,
    "diag": (*SIMPLER, LARGE),
    "spherical": (*SIMPLER, LARGE),
}


#: Passes of EM against those whose exponentials were NumPy's (`benchmarks.earlier`).
PASS_AGAINST_EARLIER = {
    ("tied", "float32", SIMPLER[1]): 1.3,
    ("spherical", "float32", SIMPLER[1]): 1.3,
    ("full", "float32", FULL[0]): 1.3,
    ("tied", "float64", SIMPLER[1]): 1.1,
}
#: Scoring in compiled code against NumPy's tiles: rows a second, labels and densities in memory.
SCORING_AGAINST_TILES = {
    ("full", Shape(200_000, 16, 32)): 2.5,
    ("full", Shape(1_000_000, 4, 4)): 2.5,
    ("full", Shape(50_000, 64, 32)): 2.5,
    ("diag", Shape(65_536, 32, 64)): 2.5,
    ("spherical", Shape(200_000, 32, 16)): 2.5,
}
#: The same, of the scoring pass over many rows with its outputs written.
SCORING_PASS_AGAINST_TILES = 2.0


def pass_goal(peer: str, covariance_type: str, d: int) -> float | None:
    """How many times as fast as a peer an EM iteration is to be; None where no goal is set."""
    if covariance_type == "full":
        steps = _FULL.get(peer, ())
        return next((goal for most, goal in steps if d <= most), None)
    return _SIMPLER.get((peer, covariance_type))


#: By peer: up to so many features, so many times as fast.
_FULL: dict[str, tuple[tuple[float, float], ...]] = {
    "scikit-learn": ((16, 20.0), (32, 10.0), (64, 5.5), (128, 2.7)),
    "oneDAL": ((32, 2.5), (64, 2.0), (128, 1.6)),
    "Spark": ((float("inf"), 20.0),),
}
_SIMPLER = {
    ("scikit-learn", "tied"): 60.0,
    ("scikit-learn", "diag"): 8.0,
    ("scikit-learn", "spherical"): 12.0,
    ("oneDAL", "diag"): 2.5,
}
