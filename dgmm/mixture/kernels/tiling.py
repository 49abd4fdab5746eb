"""How wide tiles are, and how their products are cut: functions of shapes alone, since bits follow.

This is for products by NumPy; compiled ones have their own tiling
(`dgmm.mixture.backends.fused_products`). What OpenBLAS does with small matrices decides (figures:
docs/design/0001):

- it multiplies up to 100³ multiplications as they lie, more after a copy, and with few components
  the copy takes as long as the product;
- Φ Rᵀ only where the result has few numbers, about 1,024;
- Φ Rᵀ is faster than R Φᵀ in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Multiplications up to which OpenBLAS does not copy its operands, and numbers of such a result.
_SMALL_PRODUCT, _SMALL_RESULT = 1_000_000, 1100
_MIN_COLUMNS, _MIN_ROWS = 64, 16
#: A tile's Φ and L, or the part of Φ that exists at a time, stay in a second-level cache.
_CACHE_BYTES = 2 * 1024 * 1024
_NARROW, _WIDE = 256, 4096
_TILE_BYTES = 4 * 1024 * 1024


def _power_of_two(number: int) -> int:
    """The largest power of two that is not above the number, at least 1."""
    return 1 << (max(number, 1).bit_length() - 1)


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tiling of one kernel's tiles.

    Attributes
    ----------
    tile_rows
        Data rows of a tile; divides 4096, hence every block.
    design_rows
        Rows of Φ (features of a data row) that exist at a time.
    columns
        Data rows of one product η Φ.
    moment_rows, moment_columns
        Rows of Φ and data rows of one product Φ Rᵀ.
    """

    tile_rows: int
    design_rows: int
    columns: int
    moment_rows: int
    moment_columns: int

    @classmethod
    def of(cls, p: int, k: int, itemsize: int) -> Tiling:
        """For natural parameters (k, p) of that many bytes a number."""
        tile = _power_of_two(_CACHE_BYTES // (itemsize * (p + k)))
        tile = min(max(tile, _NARROW), _WIDE)
        small = _power_of_two(_SMALL_PRODUCT // (p * k))
        height = p if p * k <= _SMALL_RESULT else _SMALL_RESULT // k
        if height < _MIN_ROWS:  # so many components that the copy does not matter
            height, moment_columns = p, tile
        else:
            moment_columns = min(_power_of_two(_SMALL_PRODUCT // (height * k)), tile)
        return cls(
            tile_rows=tile,
            design_rows=max(_CACHE_BYTES // (tile * itemsize), _MIN_ROWS),
            columns=min(small, tile) if small >= _MIN_COLUMNS else tile,
            moment_rows=height,
            moment_columns=moment_columns,
        )


def tile_of_numbers(numbers_per_row: int) -> int:
    """Data rows of a tile of float64 near 4 MiB, for kernels that take component by component."""
    fitting = _power_of_two(_TILE_BYTES // (8 * numbers_per_row))
    return min(max(fitting, _NARROW), _WIDE)
