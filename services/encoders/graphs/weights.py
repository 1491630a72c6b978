"""The named tensors of a model folder, read from safetensors files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Weights:
    """Named tensors, read as float32 when asked for; the files are mapped, not loaded."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)

    def has(self, name: str) -> bool:
        """Return whether there is a tensor of this name."""
        raise NotImplementedError

    def __call__(self, name: str) -> NDArray[np.float32]:
        """Return a tensor. ModelUnavailable where it is missing, damaged or quantised."""
        raise NotImplementedError
