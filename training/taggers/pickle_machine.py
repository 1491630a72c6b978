"""Reads a pickle as data. Nothing is imported, called or built but numbers, texts, lists, dicts and numpy
arrays.

A pickle is a program for a small stack machine whose instructions may call any function.
``pickletools.genops`` lists those instructions without following them; this machine follows them with every
call replaced by an inert ``Record`` of what was to be called. Names outside a white list end the reading. All
work is bounded by the file's size and a number of instructions.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.errors import BadRequest

MAX_BYTES = 64 << 20
MAX_INSTRUCTIONS = 1_000_000
_MAX_COPIED = 4 * MAX_BYTES
_MAX_DIMENSIONS = 8
_ARRAY, _DTYPE = "numpy.ndarray", "numpy.dtype"
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy._core._multiarray_umath")
_RECONSTRUCT = frozenset(f"{module}._reconstruct" for module in _MODULES)
_SCALAR = frozenset(f"{module}.scalar" for module in _MODULES)
_FROM_BUFFER = frozenset({"numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"})
_RESTORE = frozenset({"copyreg._reconstructor", "copy_reg._reconstructor"})
_OBJECT = frozenset({"builtins.object", "__builtin__.object"})
_BYTES = frozenset(
    {f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray")}
)
_ENCODE, _ORDERED, _JOBLIB = (
    "_codecs.encode",
    "collections.OrderedDict",
    "joblib.numpy_pickle.NumpyArrayWrapper",
)
_KNOWN = (
    _RECONSTRUCT
    | _SCALAR
    | _FROM_BUFFER
    | _RESTORE
    | _OBJECT
    | _BYTES
    | {_ARRAY, _DTYPE, _ENCODE, _ORDERED, _JOBLIB}
)
_COMPRESSED = (
    b"\x1f\x8b",
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
    b"BZh",
    b"\xfd7zXZ",
    b"\x04\x22\x4d\x18",
)
_CODE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9]\d{0,5}|O8?")
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Name:
    """A class or function that the file names; it is never looked up."""

    path: str


@dataclass(eq=False)
class Record:
    """An object that is not made: the path of its class, what that was to be called with, and its state (an
    array's values)."""

    path: str
    args: tuple[Any, ...] = ()
    state: Any = None


def read_pickle(data: bytes, classes: frozenset[str]) -> Any:
    """What a pickle of protocol 0 to 5, or an uncompressed file of joblib, describes; runs none of it.

    ``classes`` are the paths that may occur besides numpy's and a few builtins; they come as ``Record``.
    ``BadRequest`` for any other name, for what is damaged, and for files past the limits.
    """
    if data.startswith(_COMPRESSED):
        raise BadRequest(
            "The file is compressed. In the environment that wrote it, load it and write it again plainly: "
            "pickle.dump(joblib.load(old), open(new, 'wb'))."
        )
    if len(data) > MAX_BYTES:
        raise BadRequest(
            f"The file has more than {MAX_BYTES >> 20} MB: a linear model is smaller. Nothing was read."
        )
    try:
        return _Machine(io.BytesIO(data), classes, _Budget()).run()
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise BadRequest(
            "The file is no pickle, or a damaged one: copy it again from where it was written."
        ) from error


class _Budget:
    """What may still be done; files of a few bytes can ask for much by naming the same thing again and
    again."""

    def __init__(self) -> None:
        self._instructions, self._bytes = MAX_INSTRUCTIONS, _MAX_COPIED

    def step(self) -> None:
        self._instructions -= 1
        if self._instructions < 0:
            raise BadRequest(
                f"The file has more than {MAX_INSTRUCTIONS} instructions: a linear model has a few hundred."
            )

    def copy(self, size: int) -> None:
        self._bytes -= size
        if self._bytes < 0:
            raise BadRequest("The file unfolds to far more than its size: it is no model.")


class _Machine:
    """The stack, the marks in it, and the memo. ``nested`` is a pickle within a file of joblib."""

    def __init__(
        self, file: io.BytesIO, classes: frozenset[str], budget: _Budget, *, nested: bool = False
    ) -> None:
        self._file, self._classes, self._budget, self._nested = file, classes, budget, nested
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value on top at the end."""
        for instruction, argument, _ in pickletools.genops(self._file):
            self._budget.step()
            name = instruction.name
            if name == "STOP":
                return self._pop()
            if name in _PUSHED:
                self._stack.append(argument)
            elif name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name]())
            elif name in _INSTRUCTIONS:
                _INSTRUCTIONS[name](self, argument)
            else:
                raise BadRequest(
                    f"The file uses the instruction {name}, which no scikit-learn model needs: it is "
                    "not read."
                )
        raise ValueError("no end")

    # The stack

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("nothing left")
        return self._stack.pop()

    def _top(self, kind: type[Any]) -> Any:
        value = self._stack[-1]
        if type(value) is not kind:
            raise TypeError("another kind of object")
        return value

    def _since_mark(self) -> list[Any]:
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def pop(self, _: Any) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def pop_mark(self, _: Any) -> None:
        self._since_mark()

    def duplicate(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def put(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, number: int) -> None:
        self._stack.append(self._memo[number])

    # Lists, tuples and dicts

    def make_tuple(self, size: int) -> None:
        values = [self._pop() for _ in range(size)]
        self._stack.append(tuple(reversed(values)))

    def make_marked_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._since_mark()))

    def make_list(self, _: Any) -> None:
        self._stack.append(self._since_mark())

    def make_dict(self, _: Any) -> None:
        values = self._since_mark()
        self._stack.append({})
        self._set(values)

    def append(self, _: Any) -> None:
        value = self._pop()
        self._top(list).append(value)

    def append_all(self, _: Any) -> None:
        values = self._since_mark()
        self._top(list).extend(values)

    def set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def set_items(self, _: Any) -> None:
        self._set(self._since_mark())

    def _set(self, values: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | bool | float) and not (
                isinstance(key, int) and key.bit_length() <= 64
            ):
                raise TypeError(
                    "a key that is neither text nor number"
                )  # hashing deep tuples would recurse as deep
            target[key] = value

    # Names and calls

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._push_name(module, name)

    def stack_name(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError("a name that is no text")
        self._push_name(module, name)

    def _push_name(self, module: str, name: str) -> None:
        path = f"{module}.{name}"
        if path not in _KNOWN and path not in self._classes:
            raise BadRequest(
                f"The file names {path[:100]!a}, which is neither a linear model of scikit-learn nor "
                "part of one: it is not read. Linear are LogisticRegression, LinearSVC and "
                "SGDClassifier, alone or in a Pipeline with scalers."
            )
        self._stack.append(Name(path))

    def new(self, _: Any) -> None:
        args, name = self._pop(), self._pop()
        self._stack.append(self._made(name, args))

    def call(self, _: Any) -> None:
        args, name = self._pop(), self._pop()
        if not isinstance(name, Name) or not isinstance(args, tuple):
            raise TypeError("a call of what is no name")
        path = name.path
        if path in _RECONSTRUCT:
            if not args or args[0] != Name(_ARRAY):
                raise BadRequest("The file holds another array than numpy's own: it is not read.")
            self._stack.append(Record(_ARRAY))
        elif path == _DTYPE:
            self._stack.append(Record(_DTYPE, args))
        elif path in _SCALAR:
            kind, raw = args
            self._stack.append(self._array(raw, kind, (), False).item())
        elif path in _FROM_BUFFER:
            raw, kind, shape, order = args
            self._stack.append(Record(_ARRAY, state=self._array(raw, kind, shape, order == "F")))
        elif path in _RESTORE:
            class_, base, _ = args
            if not isinstance(base, Name) or base.path not in _OBJECT:
                raise TypeError("an object upon another than object")
            self._stack.append(self._made(class_, ()))
        elif path == _ENCODE or path in _BYTES:
            self._stack.append(self._bytes(*args))
        elif path == _ORDERED and not args:
            self._stack.append({})
        else:
            self._stack.append(self._made(name, args))

    def _made(self, name: Any, args: Any) -> Record:
        if not isinstance(name, Name) or not isinstance(args, tuple):
            raise TypeError("no class")
        if name.path != _JOBLIB and name.path not in self._classes:
            raise BadRequest(
                f"The file makes an object of {name.path} in a way that no model needs: it is not read."
            )
        return Record(name.path, args)

    def _bytes(self, value: str | bytes = b"", encoding: str = "latin1") -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise ValueError("another encoding than pickle's")
        self._budget.copy(len(value))
        return value.encode("latin-1") if isinstance(value, str) else bytes(memoryview(value))

    def build(self, _: Any) -> None:
        state = self._pop()
        target = self._top(Record)
        if target.state is not None:
            raise ValueError("a state that is there already")
        if target.path == _ARRAY:
            _, shape, kind, fortran, raw = state
            target.state = self._array(raw, kind, shape, bool(fortran))
        elif target.path == _JOBLIB:
            self._stack[-1] = self._joblib_array(state)
        else:
            target.state = state

    # Arrays

    def _array(self, raw: Any, kind: Any, shape: Any, fortran: bool) -> NDArray[Any]:
        """An array of our own from raw bytes, or from a list where it holds objects; its size is checked
        first."""
        dtype, count = _dtype(kind), _count(shape)
        if dtype.hasobject:
            if type(raw) is not list or len(raw) != count or not all(type(value) in _PLAIN for value in raw):
                raise ValueError("an array of other objects than texts and numbers")
            self._budget.copy(8 * count)
            values = np.empty(count, object)
            values[:] = raw
        else:
            data = self._bytes(raw) if isinstance(raw, str) else memoryview(raw)
            if len(data) != count * dtype.itemsize:
                raise ValueError("an array of another size than its shape")
            values = np.frombuffer(data, dtype)
        return values.reshape(shape, order="F" if fortran else "C")

    def _joblib_array(self, state: Any) -> Record:
        """joblib writes an array's bytes into the stream, after the object that stands for it."""
        if self._nested or not isinstance(state, dict):
            raise ValueError("an array within an array")
        kind, shape = state["dtype"], state["shape"]
        dtype = _dtype(kind)
        if dtype.hasobject:
            inner = _Machine(self._file, self._classes, self._budget, nested=True).run()
            if not isinstance(inner, Record) or inner.path != _ARRAY:
                raise ValueError("no array")
            return inner
        if state.get("numpy_array_alignment_bytes") is not None:
            self._file.read(self._file.read(1)[0])
        raw = self._file.read(_count(shape) * dtype.itemsize)
        return Record(_ARRAY, state=self._array(raw, kind, shape, state["order"] == "F"))


def _dtype(kind: Any) -> np.dtype[Any]:
    """numpy's dtype of plain numbers, texts or objects; ``ValueError`` for any other."""
    code = kind.args[0] if isinstance(kind, Record) and kind.path == _DTYPE and kind.args else None
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise ValueError("an array of other things than numbers and texts")
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "="
    return np.dtype(code if order not in ("<", ">") else order + code)


def _count(shape: Any) -> int:
    """How many elements a shape has."""
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError("no shape")
    if not all(type(size) is int and 0 <= size <= MAX_BYTES for size in shape):
        raise ValueError("no shape")
    return math.prod(shape)


_PUSHED = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, version: None,
    "FRAME": lambda machine, size: None,
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.duplicate,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "MEMOIZE": _Machine.memoize,
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "TUPLE": _Machine.make_marked_tuple,
    "LIST": _Machine.make_list,
    "DICT": _Machine.make_dict,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.append_all,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.new,
    "BUILD": _Machine.build,
}
