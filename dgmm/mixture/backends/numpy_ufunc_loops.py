"""What compiled code borrows from NumPy: its loops for exp and log.

Numba's own exp is the C library's, other bits and slower. NumPy's is reached by address, and
checked against NumPy before it is trusted.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


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
