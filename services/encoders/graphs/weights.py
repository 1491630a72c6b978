"""The named tensors of a model folder, read from safetensors files."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.errors import ModelUnavailable

_FLOATS: Mapping[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "F64": np.dtype("<f8"),
}
_HALF = np.dtype("<u2")  # bfloat16: the upper half of a float32, a type that NumPy does not have
_BYTES = {**{name: kind.itemsize for name, kind in _FLOATS.items()}, "BF16": _HALF.itemsize}
_LONGEST_HEADER = 100_000_000
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class _Stored:
    """Where a tensor lies: bytes ``start`` to ``end`` of a file, numbers of type ``kind``."""

    file: Path
    data: mmap.mmap
    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


class Weights:
    """Named tensors, read as float32 or as they are stored; the files are mapped, not loaded.

    What needs no conversion is a view of the file, which therefore must not be changed or cut while the
    array, or a graph made of it, is in use; replacing the file by another is fine.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        """Read the headers of ``files``. Raises ModelUnavailable where one is missing, cut off or no
        safetensors file."""
        self._files = tuple(files)
        self._tensors: dict[str, _Stored] = {}
        for file in self._files:
            self._tensors.update(_read_header(file))

    @property
    def folder(self) -> Path:
        """The folder that the files lie in, for messages."""
        return self._files[0].parent if self._files else Path()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tensors."""
        return tuple(self._tensors)

    def has(self, name: str) -> bool:
        """Return whether there is a tensor of this name."""
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor that is there."""
        return self._tensors[name].shape

    def __call__(self, name: str) -> NDArray[np.float32]:
        """Return a tensor. ModelUnavailable where it is missing, damaged or quantised."""
        values = self.stored(name)
        if values.dtype == _HALF:
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32, copy=False)

    def stored(self, name: str) -> NDArray[Any]:
        """Return a tensor as its file keeps it, without a copy: float64, float32, float16, or uint16 that
        are the bits of bfloat16. ModelUnavailable as above."""
        stored = self._tensors.get(name)
        if stored is None:
            raise ModelUnavailable(f"{self.folder} has no weights called {name}: its files are incomplete.")
        if stored.kind not in _BYTES:
            raise ModelUnavailable(
                f"{stored.file} stores {name} as {stored.kind}: quantised weights are not read. Use the "
                "model as its authors published it, in float32, float16 or bfloat16."
            )
        count = math.prod(stored.shape)
        if stored.end - stored.start != count * _BYTES[stored.kind]:
            raise ModelUnavailable(
                f"{stored.file} is damaged: {name} has {stored.end - stored.start} bytes, not those of "
                f"{count} numbers. Copy the file again."
            )
        kind = _FLOATS.get(stored.kind, _HALF)
        return np.frombuffer(stored.data, kind, count, stored.start).reshape(stored.shape)

    def release(self) -> None:
        """Give the memory of what was read so far back to the system, once a graph is compiled.

        openvino keeps the weights beside its own packed copy of them, though it hardly reads them again.
        What it does read comes back from the file.
        """
        if hasattr(mmap, "MADV_DONTNEED"):
            for data in {id(stored.data): stored.data for stored in self._tensors.values()}.values():
                data.madvise(mmap.MADV_DONTNEED)


def _read_header(file: Path) -> dict[str, _Stored]:
    """Return the tensors that a safetensors file says it holds: eight bytes give the length of a JSON object,
    whose places count from its end."""
    try:
        with file.open("rb") as stream:
            size = file.stat().st_size
            start = stream.read(len(_POINTER))
            if start == _POINTER:
                raise ModelUnavailable(
                    f"{file} is a Git LFS pointer, not the weights: run `git lfs pull` where it was cloned."
                )
            length = int.from_bytes(start[:8], "little")
            if size < 8 or length > min(size - 8, _LONGEST_HEADER):
                raise ModelUnavailable(f"{file} is cut off or no safetensors file: copy it again.")
            # openvino shares only memory that can be written; a write would change no file
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise ModelUnavailable(f"{file} cannot be read: {error.strerror}.") from error
    try:
        header = json.loads(data[8 : 8 + length])
        return {
            name: _stored(file, data, entry, 8 + length)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelUnavailable(f"{file} has a damaged header: copy the file again.") from error


def _stored(file: Path, data: mmap.mmap, entry: Mapping[str, Any], offset: int) -> _Stored:
    first, last = (int(place) for place in entry["data_offsets"])
    shape = tuple(int(length) for length in entry["shape"])
    if not 0 <= first <= last or any(length < 0 for length in shape):
        raise ValueError("places out of order")
    if offset + last > len(data):
        raise ModelUnavailable(
            f"{file} is cut off: it has {len(data)} bytes, and its header speaks of at least "
            f"{offset + last}. Copy it again."
        )
    return _Stored(file, data, str(entry["dtype"]), shape, offset + first, offset + last)
