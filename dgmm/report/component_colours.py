"""Colours for label maps: for photographs the components' own mean colours, else the palette."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from dgmm.report.components import Components, Floats

_CHANNELS = "rgb"
_OFFSET = re.compile(r"[+-]?\d+")
_FULL_SCALES = (1.0, 255.0, 65535.0)


@dataclass(frozen=True, slots=True)
class ComponentColours:
    """One colour a component.

    Parameters
    ----------
    colours : ndarray (k, 3)
        RGB in [0, 1].
    description : str
        Where they come from, for the caption.
    """

    colours: Floats
    description: str


def component_colours(components: Components) -> ComponentColours:
    """Mean colours where the features are the red, green and blue of pixels, else the palette."""
    centre = centre_pixel(components.names)
    if centre is None:
        return ComponentColours(components.colours, "Pixels have the colours of their components.")
    means = components.means[:, list(centre)]
    names = ", ".join(components.names[i] for i in centre)
    words = f"Pixels have the mean colour of their component (its means of {names})."
    low, high = float(means.min()), float(means.max())
    # Means may leave the range of the images by rounding and noise.
    full = next((scale for scale in _FULL_SCALES if high <= 1.02 * scale), high)
    if full in _FULL_SCALES and low >= -0.02 * full:
        return ComponentColours(np.clip(means / full, 0.0, 1.0), words)
    stretched = (means - low) / ((high - low) or 1.0)
    return ComponentColours(stretched, f"{words} Their range is stretched to black and white.")


def centre_pixel(names: tuple[str, ...]) -> tuple[int, int, int] | None:
    """Feature indices of red, green and blue of a neighbourhood's central pixel.

    Names are a channel letter and a place (`r-1+0`, `g_0_2`, `0_2_b`); the central place is the one
    nearest to the mean of all places. None where the features are something else.

    Examples
    --------
    >>> centre_pixel(("r-1", "g-1", "b-1", "r+0", "g+0", "b+0", "r+1", "g+1", "b+1"))
    (3, 4, 5)
    >>> centre_pixel(("temperature", "salinity", "depth")) is None
    True
    """
    if not names or len(names) % 3:
        return None
    places: dict[str, dict[str, int]] = {}
    for index, name in enumerate(names):
        channel, place = _split(name)
        if channel is None or channel in places.setdefault(place, {}):
            return None
        places[place][channel] = index
    if any(len(channels) != 3 for channels in places.values()):
        return None
    found = places[_central(list(places))]
    return found["r"], found["g"], found["b"]


def _split(name: str) -> tuple[str | None, str]:
    for letter, place in ((name[:1], name[1:]), (name[-1:], name[:-1])):
        if letter.lower() in _CHANNELS and not any(c.isalpha() for c in place):
            return letter.lower(), place.strip("_ ")
    return None, name


def _central(places: list[str]) -> str:
    offsets = [[int(number) for number in _OFFSET.findall(place)] for place in places]
    if len({len(offset) for offset in offsets}) != 1 or not offsets[0]:
        return places[len(places) // 2]
    points = np.array(offsets, dtype=np.float64)
    distances = ((points - points.mean(axis=0)) ** 2).sum(axis=1)
    return places[int(np.argmin(distances))]
