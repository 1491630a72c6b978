"""Messages between the store and its engine process: a JSON header and raw arrays, over a stream socket.

A frame is the header's length (4 bytes, little endian), the header, and the bytes of the arrays that the
header lists under ``arrays`` as [dtype, shape]. Nothing in it is executed on reading. numpy is imported with
the first array: many messages have none.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

if TYPE_CHECKING:
    from numpy.typing import NDArray

Header = dict[str, Any]
Arrays: TypeAlias = "list[NDArray[Any]]"

_LENGTH: Final = struct.Struct("<I")
_DTYPES: Final = ("<f4", "<i4")
_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY


def send(sock: socket.socket, header: Header, arrays: Sequence[NDArray[Any]] = ()) -> None:
    """Send one frame. ``TypeError`` if the header is not JSON; ``OSError`` if the other side is gone."""
    described = [[array.dtype.str, list(array.shape)] for array in arrays]
    head = orjson.dumps({**header, "arrays": described}, option=_OPTIONS)
    sock.sendall(_LENGTH.pack(len(head)) + head)
    for array in arrays:
        if array.size:
            sock.sendall(_bytes(array))


def _bytes(array: NDArray[Any]) -> memoryview:
    import numpy as np

    return np.ascontiguousarray(array).data.cast("B")


def receive(sock: socket.socket) -> tuple[Header, Arrays]:
    """Receive one frame; its arrays own their memory. ``EOFError`` if the other side has closed."""
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
    header: Header = orjson.loads(_exactly(sock, length))
    return header, [_array(sock, dtype, shape) for dtype, shape in header.pop("arrays")]


def _array(sock: socket.socket, dtype: str, shape: list[int]) -> NDArray[Any]:
    import numpy as np

    if dtype not in _DTYPES:
        raise ValueError(f"no arrays of {dtype!r} cross to the engine")
    array: NDArray[Any] = np.empty(shape, np.dtype(dtype))
    if array.size:
        _fill(sock, array.data.cast("B"))
    return array


def _exactly(sock: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    _fill(sock, memoryview(data))
    return data


def _fill(sock: socket.socket, view: memoryview) -> None:
    while view:
        got = sock.recv_into(view)
        if not got:
            raise EOFError("the other side has closed the connection")
        view = view[got:]
