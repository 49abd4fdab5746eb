"""What compiled code borrows from NumPy: its BLAS's matrix product, and its loops for exp and log.

Numba's own products go to SciPy's copy of OpenBLAS, and its exp to the C library's: other bits, and
slower. NumPy's are reached by address; each is checked against NumPy before it is trusted.
"""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

#: Names of cblas_?gemm with 64-bit integers in the wheels of NumPy; a name without 64 does not tell
#: the size of its integers.
_NAMES = {"float64": "scipy_cblas_dgemm64_", "float32": "scipy_cblas_sgemm64_"}
_ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


def gemm_address(dtype: Any) -> int:
    """Where the function for a dtype lies in this process, once it has given NumPy's bits.

    Raises
    ------
    ImportError
        If NumPy is linked with another BLAS, such as Accelerate or a distribution's.
    """
    name = _NAMES[np.dtype(dtype).name]
    core = importlib.import_module("numpy._core._multiarray_umath")  # private: it may go away
    try:  # a library's handle finds the symbols of those it is linked with
        function = getattr(ctypes.CDLL(core.__file__), name)
    except (AttributeError, OSError, TypeError) as error:
        raise ImportError(f"NumPy's BLAS has no {name}") from error
    address = int(ctypes.cast(function, ctypes.c_void_p).value or 0)
    if not _is_numpys_product(address, np.dtype(dtype)):
        raise ImportError(f"{name} does not give NumPy's products")
    return address


def _is_numpys_product(address: int, dtype: np.dtype[Any]) -> bool:
    number = {"float64": ctypes.c_double, "float32": ctypes.c_float}[dtype.name]
    word, size, at = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
    prototype = ctypes.CFUNCTYPE(
        None, *(word, word, word, size, size, size, number, at, size, at, size, number, at, size)
    )
    A, B = (np.linspace(-1.0, 1.0, 7 * rows, dtype=dtype).reshape(rows, 7) for rows in (5, 6))
    C = np.empty((5, 6), dtype)
    sizes = (_ROW_MAJOR, PLAIN, TRANSPOSED, 5, 6, 7)
    operands = (A.ctypes.data, 7, B.ctypes.data, 7)
    prototype(address)(*sizes, 1.0, *operands, 0.0, C.ctypes.data, 6)
    return np.array_equal(C, A @ B.T)


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def gemm(
    typing_context: Any,
    address: Any,
    transposed: Any,
    m: Any,
    n: Any,
    k: Any,
    alpha: Any,
    A: Any,
    lda: Any,
    B: Any,
    ldb: Any,
    C: Any,
    ldc: Any,
) -> Any:
    """C (m, n) = alpha·A (m, k)·op(B), row-major; B is (n, k) where `transposed` is 112.

    Addresses are integers, so that machine code can be kept on disk: a pointer in it could not.
    """
    integer = types.int64
    signature = types.void(
        *(integer, integer, integer, integer, integer, alpha),
        *(integer, integer, integer, integer, integer, integer),
    )

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        word, size, pointer = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
        number = context.get_value_type(alpha)
        where, transpose, rows, cols, inner, factor, a, a_step, b, b_step, c, c_step = args
        function_type = ir.FunctionType(
            ir.VoidType(),
            [
                *(word, word, word, size, size, size, number),
                *(pointer, size, pointer, size, number, pointer, size),
            ],
        )
        function = builder.inttoptr(where, function_type.as_pointer())
        at = [builder.inttoptr(address, pointer) for address in (a, b, c)]
        builder.call(
            function,
            [
                *(word(_ROW_MAJOR), word(PLAIN), builder.trunc(transpose, word)),
                *(rows, cols, inner, factor),
                *(at[0], a_step, at[1], b_step, number(0.0), at[2], c_step),
            ],
        )
        return context.get_dummy_value()

    return signature, generate


class _UfuncHead(ctypes.Structure):
    """The first fields of PyUFuncObject (numpy/ufuncobject.h), part of NumPy's stable ABI."""

    _fields_ = (
        ("n_references", ctypes.c_ssize_t),
        ("type", ctypes.c_void_p),
        ("n_in", ctypes.c_int),
        ("n_out", ctypes.c_int),
        ("n_args", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("n_types", ctypes.c_int),
        ("reserved", ctypes.c_int),
        ("name", ctypes.c_char_p),
    )


#: The functions whose loops are borrowed.
_LOOPS = {"exp": np.exp, "log": np.log}
_SMALLEST_NUMPY = "2.0.0"


def loop_address(name: str, dtype: Any) -> tuple[int, int]:
    """Where NumPy's loop of `exp` or `log` lies for a dtype, and its data.

    Raises
    ------
    ImportError
        If this is no NumPy whose functions look as they should, or the loop gives other bits.
    """
    if np.lib.NumpyVersion(np.__version__) < _SMALLEST_NUMPY or object.__basicsize__ != 16:
        raise ImportError("ufuncs of this Python and NumPy are not known")
    ufunc = _LOOPS[name]
    head = _UfuncHead.from_address(id(ufunc))
    expected = (ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes)
    signature = "{0}->{0}".format(np.dtype(dtype).char)
    if (head.n_in, head.n_out, head.n_args, head.n_types) != expected:
        raise ImportError("ufuncs of this NumPy are laid out otherwise")
    if signature not in ufunc.types:
        raise ImportError(f"NumPy's {name} has no loop {signature}")
    index = ufunc.types.index(signature)
    loop = int(head.functions[index] or 0), int(head.data[index] or 0)
    if not loop[0] or not _is_numpys_loop(loop, getattr(np, name), np.dtype(dtype)):
        raise ImportError(f"{name} of this NumPy cannot be called by its address")
    return loop


def _is_numpys_loop(loop: tuple[int, int], function: np.ufunc, dtype: np.dtype[Any]) -> bool:
    x = np.linspace(0.1, 30.0, 1001, dtype=dtype)
    found = x.copy()
    words = np.array([found.ctypes.data] * 2 + [x.size] + [x.itemsize] * 2, np.int64)
    at = words.ctypes.data
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)
    prototype(loop[0])(at, at + 16, at + 24, loop[1] or None)
    return np.array_equal(found, function(x))


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def apply_loop(
    typing_context: Any, address: Any, args: Any, sizes: Any, steps: Any, data: Any
) -> Any:
    """Call a ufunc's loop: arrays of operands' addresses, of the one size, and of their steps."""
    integer = types.int64
    signature = types.void(integer, integer, integer, integer, integer)

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [pointer] * 4)
        function = builder.inttoptr(values[0], function_type.as_pointer())
        builder.call(function, [builder.inttoptr(value, pointer) for value in values[1:]])
        return context.get_dummy_value()

    return signature, generate
