"""Messages between the store and its engine process: a JSON header, texts and raw arrays, over a stream
socket.

A frame is the header's length (4 bytes, little endian), the header, the texts whose lengths the header lists
under ``texts``, and the bytes of the arrays that it lists under ``arrays`` as [dtype, shape]. Texts are there
for what neither side has to read, such as payloads on their way to an answer. Nothing in a frame is executed
on reading. numpy is imported with the first array: many messages have none.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import orjson

if TYPE_CHECKING:
    from numpy.typing import NDArray

Header = dict[str, Any]
"""JSON values, but for ``texts``: a list of bytes, which are sent as they are."""
Arrays: TypeAlias = "list[NDArray[Any]]"

_LENGTH: Final = struct.Struct("<I")
_DTYPES: Final = ("<f4", "<i4")
_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
PIECE: Final = 1 << 16
"""Bytes that are sent or received by one call: all of most frames."""
Got = TypeVar("Got", bytes, int)


def send(sock: socket.socket, header: Header, arrays: Sequence[NDArray[Any]] = ()) -> None:
    """Send one frame. ``TypeError`` if the header is not JSON; ``OSError`` if the other side is gone."""
    for piece in pieces(header, arrays):
        sock.sendall(piece)


def pieces(header: Header, arrays: Sequence[NDArray[Any]] = ()) -> list[bytes | memoryview]:
    """Return the bytes of one frame: all of a small one together, large arrays each for itself."""
    texts: Sequence[bytes] = header.get("texts", ())
    described = [[array.dtype.str, list(array.shape)] for array in arrays]
    listed = {**header, "arrays": described}
    if texts:
        listed["texts"] = [len(text) for text in texts]
    head = orjson.dumps(listed, option=_OPTIONS)
    first: list[bytes | memoryview] = [_LENGTH.pack(len(head)), head, *texts]
    blocks = [_bytes(array) for array in arrays if array.size]
    if sum(map(len, blocks)) <= PIECE:  # one call for all of a small frame
        first, blocks = [*first, *blocks], []
    return [b"".join(first), *blocks]


def receive(sock: socket.socket, came: bytes = b"") -> tuple[Header, Arrays]:
    """Receive one frame, of which ``came`` is there already; its arrays own their memory. ``EOFError`` if the
    other side has closed."""
    return _parsed(_Incoming(sock, came))


def whole(came: bytes) -> tuple[Header, Arrays] | None:
    """Return the frame that ``came`` holds; None if more of it is to come."""
    try:
        return _parsed(_Incoming(None, came))
    except _Incomplete:
        return None


def _parsed(frame: _Incoming) -> tuple[Header, Arrays]:
    (length,) = _LENGTH.unpack(frame.take(_LENGTH.size))
    header: Header = orjson.loads(frame.take(length))
    if "texts" in header:
        header["texts"] = [bytes(frame.take(size)) for size in header["texts"]]
    return header, [_array(frame, dtype, shape) for dtype, shape in header.pop("arrays")]


class _Incomplete(Exception):
    """A frame is longer than what is there of it."""


class _Incoming:
    """The bytes of one frame. What comes with its beginning belongs to it: who has asked waits for the
    answer, and who has answered for the next question."""

    def __init__(self, sock: socket.socket | None, came: bytes = b"") -> None:
        self._sock = sock
        self._come = memoryview(came)

    def take(self, size: int) -> memoryview:
        """Return the next bytes."""
        if len(self._come) < size:
            data = bytearray(self._come)
            while len(data) < size:
                data += _some(self._more.recv(max(PIECE, size - len(data))))
            self._come = memoryview(data)
        taken, self._come = self._come[:size], self._come[size:]
        return taken

    def fill(self, view: memoryview) -> None:
        """Write the next bytes into ``view``."""
        ready = self.take(min(len(view), len(self._come)))
        view[: len(ready)] = ready
        view = view[len(ready) :]
        while view:
            view = view[_some(self._more.recv_into(view)) :]

    @property
    def _more(self) -> socket.socket:
        if self._sock is None:
            raise _Incomplete
        return self._sock


def _bytes(array: NDArray[Any]) -> memoryview:
    import numpy as np

    return np.ascontiguousarray(array).data.cast("B")


def _array(frame: _Incoming, dtype: str, shape: list[int]) -> NDArray[Any]:
    import numpy as np

    if dtype not in _DTYPES:
        raise ValueError(f"no arrays of {dtype!r} cross to the engine")
    array: NDArray[Any] = np.empty(shape, np.dtype(dtype))
    if array.size:
        frame.fill(array.data.cast("B"))
    return array


def _some(got: Got) -> Got:
    """Return what was received, or how much. ``EOFError`` if it is nothing."""
    if not got:
        raise EOFError("the other side has closed the connection")
    return got
