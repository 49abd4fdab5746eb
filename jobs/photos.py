"""Fits a mixture to the two photographs that scikit-learn ships: sample data, then `dgmm run`.

Every pixel that has eight neighbours becomes one row: the red, green and blue of the nine pixels
around it, 27 features named `<colour><row offset><column offset>`, so that `r+0+0` is its own red
and `b-1+1` the blue of its upper right neighbour. Two photographs of 427 x 640 pixels give
2 x 425 x 638 = 542,300 rows.

The photographs get Gaussian noise with a standard deviation of one grey level first. JPEG leaves
blocks of exactly equal grey levels in smooth places; a mixture models that lattice instead of the
picture, and the sky falls apart into the blocks of the file format.

    python jobs/photos.py                           # prepare what is not there, then fit
    python jobs/photos.py --only-data --crop 64     # the middle 64 x 64 pixels, no fit
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import zarr
from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parent.parent
OFFSETS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
FEATURE_NAMES = [f"{colour}{row:+d}{column:+d}" for row, column in OFFSETS for colour in "rgb"]
PHOTOGRAPH = (427, 640)  # pixels: height and width of each of the two
NOISE_SD = 1.0  # grey levels
PREPARED_BY = "jobs/photos.py"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the sample is made from; the array's attributes keep it.

    Attributes
    ----------
    crop : int or None
        Side of the square cut from the middle of each photograph, in pixels; None takes all of it.
    seed : int
        Seeds the noise.
    rows_per_chunk : int
        Rows of one Zarr chunk; the default makes chunks of 6.75 MiB.
    """

    crop: int | None = None
    seed: int = 0
    rows_per_chunk: int = 65_536

    def attributes(self) -> dict[str, Any]:
        """Return the array's attributes: names, the way back to the images, and this recipe."""
        height, width = PHOTOGRAPH if self.crop is None else (self.crop, self.crop)
        return {
            "feature_names": FEATURE_NAMES,
            "sample_dims": ["image", "row", "column"],
            "sample_shape": [2, height - 2, width - 2],
            "prepared_by": PREPARED_BY,
            "noise_sd": NOISE_SD,
            "crop": self.crop,
            "seed": self.seed,
            "rows_per_chunk": self.rows_per_chunk,
        }


def photographs(crop: int | None = None) -> list[NDArray[np.uint8]]:
    """Return scikit-learn's sample photographs, each (height, width, 3), or their middles."""
    try:
        from sklearn.datasets import load_sample_images  # noqa: PLC0415 - its absence is explained

        images: list[NDArray[np.uint8]] = load_sample_images().images
    except ImportError as error:  # scikit-learn, or Pillow, which it opens them with
        raise SystemExit(f"{error}\nThe photographs need: pip install 'dgmm[demo]'") from error
    return images if crop is None else [_middle(image, crop) for image in images]


def _middle(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def noisy(image: NDArray[np.uint8], index: int, seed: int) -> NDArray[np.float32]:
    """Return photograph number `index` with its noise, drawn from the seed and that number."""
    generator = np.random.default_rng([seed, index])
    return (image + generator.normal(scale=NOISE_SD, size=image.shape)).astype(np.float32)


def neighbourhoods(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ((height - 2) * (width - 2), 27): each inner pixel and its eight neighbours."""
    height, width = image.shape[0] - 2, image.shape[1] - 2
    shifted = [image[1 + r : 1 + r + height, 1 + c : 1 + c + width] for r, c in OFFSETS]
    return np.concatenate(shifted, axis=2).reshape(height * width, len(FEATURE_NAMES))


def prepare(path: Path, recipe: Recipe) -> None:
    """Write the sample to `path`, unless it is there already, complete and from this recipe."""
    if path.exists():
        _refuse_other_data(path)
        if _is_complete(path, recipe):
            print(f"{path} is there already")
            return
    print(f"preparing {path}")
    _write(path, recipe)


def _write(path: Path, recipe: Recipe) -> None:
    """Write beside `path` and rename at the end: what bears the name is whole."""
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    attributes = recipe.attributes()
    n_rows = int(np.prod(attributes["sample_shape"]))
    array = zarr.create_array(
        partial,
        shape=(n_rows, len(FEATURE_NAMES)),
        chunks=(min(recipe.rows_per_chunk, n_rows), len(FEATURE_NAMES)),
        dtype="float32",
        dimension_names=["sample", "feature"],
        attributes=attributes,
    )
    images = photographs(recipe.crop)
    per_image = n_rows // len(images)
    for index, image in enumerate(images):  # only one photograph is ever expanded
        rows = neighbourhoods(noisy(image, index, recipe.seed))
        array[index * per_image : (index + 1) * per_image] = rows
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)


def _array(path: Path) -> zarr.Array[Any] | None:
    try:
        return zarr.open_array(path, mode="r")
    except (OSError, ValueError, KeyError):  # a group, a broken array, or no Zarr at all
        return None


def _refuse_other_data(path: Path) -> None:
    array = _array(path)
    if array is None or array.attrs.get("prepared_by") != PREPARED_BY:
        raise SystemExit(f"{path} exists and {PREPARED_BY} did not write it: move it away first")


def _is_complete(path: Path, recipe: Recipe) -> bool:
    array = _array(path)
    if array is None or dict(array.attrs) != recipe.attributes():
        return False
    return bool(array.nchunks_initialized == array.nchunks)


def _whole_number(smallest: int, largest: int = sys.maxsize) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not smallest <= int(text) <= largest:
            raise argparse.ArgumentTypeError(f"{text} is no number from {smallest} to {largest}")
        return int(text)

    return parse


def _absolute(text: str) -> Path:
    return Path(text).absolute()


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the parsed command line; a wrong one ends with exit code 2."""
    parser = argparse.ArgumentParser(
        description="Prepare scikit-learn's sample photographs as a Zarr array and cluster them."
    )
    add = parser.add_argument
    add("--path", type=_absolute, help="the array (default: the project's data/photos.zarr)")
    add("--job", type=_absolute, help="the job file (default: the project's config/photos.yaml)")
    add("--only-data", action="store_true", help="prepare, but do not fit")
    add("--crop", type=_whole_number(3, 427), metavar="N", help="only the middle N x N pixels")
    add("--seed", type=_whole_number(0), default=0, metavar="N", help="seed of the noise")
    add("--rows-per-chunk", type=_whole_number(1), default=Recipe().rows_per_chunk, metavar="N")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="goes to `dgmm run`")
    return parser.parse_args(argv)


def fit(job: Path, settings: list[str]) -> NoReturn:
    """Become `dgmm run`, so that signals and the exit code are its own."""
    command = [sys.executable, "-m", "dgmm", "run", str(job)]
    command += [word for setting in settings for word in ("--set", setting)]
    sys.stdout.flush()  # what is buffered here would be lost
    os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted


def main(argv: list[str] | None = None) -> int:
    """Prepare the sample and, unless told not to, fit it."""
    chosen = arguments(argv)
    os.chdir(PROJECT)  # the job file's paths begin here
    path = chosen.path or Path("data/photos.zarr")
    prepare(path, Recipe(chosen.crop, chosen.seed, chosen.rows_per_chunk))
    if not chosen.only_data:
        place = [f"data.path={path}"] if chosen.path else []
        fit(chosen.job or Path("config/photos.yaml"), place + chosen.set)
    return 0


if __name__ == "__main__":
    sys.exit(main())
