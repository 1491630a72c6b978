"""A part of a model's weights, each tensor checked against the shape that the config asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitrine.services.errors import ModelUnavailable

_NAMED = 3


class Source(Protocol):
    """Whatever gives tensors by name: ``Weights``, or others' names translated."""

    @property
    def folder(self) -> Path: ...

    def has(self, name: str) -> bool: ...

    def __call__(self, name: str) -> NDArray[np.float32]: ...

    def stored(self, name: str) -> NDArray[Any]: ...


class Tensors:
    """The tensors under a prefix.

    A missing one is noted, and zeros stand for it until ``complete`` is called, so that the message can name
    several. Parts that come from one another by ``under`` share the note.
    """

    def __init__(self, source: Source, prefix: str = "", missing: list[str] | None = None) -> None:
        self._source = source
        self._prefix = prefix
        self._missing: list[str] = [] if missing is None else missing

    def under(self, prefix: str) -> Tensors:
        """Return the part under a prefix within this part."""
        return Tensors(self._source, self._prefix + prefix, self._missing)

    def under_first(self, prefixes: Sequence[str], anchor: str) -> Tensors:
        """Return the part under the first prefix that has a tensor called ``anchor``, else under the first.

        Files of base models have no prefix, those with a head and those of duals have one.
        """
        found = next((prefix for prefix in prefixes if self.has(prefix + anchor)), prefixes[0])
        return self.under(found)

    def has(self, name: str) -> bool:
        """Return whether there is a tensor of this name."""
        return self._source.has(self._prefix + name)

    def __call__(self, name: str, *shape: int) -> NDArray[np.float32]:
        """Return a tensor of this shape. ModelUnavailable where it has another, or cannot be read."""
        return self._checked(name, self._source, shape)

    def stored(self, name: str, *shape: int) -> NDArray[Any]:
        """As a call, but in the format of the file: see Weights. For large tensors that the graph takes as
        they are."""
        return self._checked(name, self._source.stored, shape)

    def _checked(
        self, name: str, read: Callable[[str], NDArray[Any]], shape: tuple[int, ...]
    ) -> NDArray[Any]:
        full = self._prefix + name
        if not self._source.has(full):
            self._missing.append(full)
            return np.zeros(shape, np.float32)
        tensor = read(full)
        if tensor.shape != shape:
            raise ModelUnavailable(
                f"{self._source.folder} has {full} in the shape {_shape(tensor.shape)}, and its config asks "
                f"for {_shape(shape)}: the weights belong to another config."
            )
        return tensor

    def optional(self, name: str, *shape: int) -> NDArray[np.float32] | None:
        """Return a tensor of this shape, None where there is none of this name."""
        return self(name, *shape) if self.has(name) else None

    def complete(self) -> None:
        """Raise ModelUnavailable if a tensor that was asked for was missing."""
        if self._missing:
            names = list(dict.fromkeys(self._missing))
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            raise ModelUnavailable(
                f"{self._source.folder} lacks weights that its config asks for: {', '.join(names[:_NAMED])}"
                f"{more}. Its files are incomplete, or those of another model."
            )


def _shape(shape: Sequence[int]) -> str:
    return "(" + ", ".join(str(length) for length in shape) + ")"
