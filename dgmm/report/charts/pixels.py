"""Arrays as PNG images (ISO/IEC 15948): colours of a palette, or red, green, blue and opacity."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE, _COLOURS, _WITH_OPACITY = 3, 2, 6
_EFFORT = 6


def of_palette(indices: NDArray[Any], palette: NDArray[Any]) -> bytes:
    """An image (h, w) of indices into at most 256 colours (c, 3 or 4), bytes."""
    colours = np.asarray(palette, dtype=np.uint8)
    chunks = [(b"PLTE", colours[:, :3].tobytes())]
    if colours.shape[1] > 3:
        chunks.append((b"tRNS", colours[:, 3].tobytes()))
    return _png(np.asarray(indices, dtype=np.uint8)[:, :, None], _PALETTE, chunks)


def of_colours(image: NDArray[np.uint8]) -> bytes:
    """An image (h, w, 3 or 4), bytes."""
    return _png(image, _COLOURS if image.shape[2] == 3 else _WITH_OPACITY, [])


def scattered(x: NDArray[np.float64], y: NDArray[np.float64], colours: NDArray[np.float64],
              size: tuple[int, int], opacity: float = 0.55) -> bytes:  # fmt: skip
    """Points as an image: where they lie on each other, their mean colour and more of it.

    Parameters
    ----------
    x, y : ndarray (m,)
        Pixels from the left and from the top.
    colours : ndarray (m, 3)
        RGB in [0, 1].
    size : (int, int)
        Width and height.
    opacity : float
        Of one point.
    """
    width, height = size
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    across, down = (np.array(steps)[:, None] for steps in ((0, 1, 0, -1, 0), (0, 0, 1, 0, -1)))
    c, r = column + across, row + down
    inside = (c >= 0) & (c < width) & (r >= 0) & (r < height)
    touched, places = np.unique((r * width + c)[inside], return_inverse=True)
    counts = np.bincount(places, minlength=len(touched))
    image = np.zeros((height * width, 4), dtype=np.uint8)
    for channel, own in enumerate(colours.T):
        sums = np.bincount(places, np.broadcast_to(own, c.shape)[inside], len(touched))
        image[touched, channel] = np.rint(255 * sums / counts)
    image[touched, 3] = np.rint(255 * (1 - (1 - opacity) ** counts))
    return of_colours(image.reshape(height, width, 4))


def _png(image: NDArray[np.uint8], kind: int, chunks: list[tuple[bytes, bytes]]) -> bytes:
    height, width, channels = image.shape
    # Every line begins with the number of its filter; 0: none.
    lines = np.zeros((height, 1 + width * channels), dtype=np.uint8)
    lines[:, 1:] = image.reshape(height, width * channels)
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    every = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines.tobytes(), _EFFORT)),
             (b"IEND", b"")]  # fmt: skip
    return _SIGNATURE + b"".join(_chunk(name, content) for name, content in every)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content)
    )  # fmt: skip
