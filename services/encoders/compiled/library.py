"""openvino without the part of it that only conversions need, and the memory that it no longer needs."""

from __future__ import annotations

import sys
from typing import Any, Final

_CONVERTER: Final = "openvino.tools.ovc"
_OF_CONVERTER: Final = "convert_model"


def import_openvino() -> None:
    """Import openvino, and its converter of other frameworks' models only when ``convert_model`` is first
    used: that takes three quarters of the import's own time."""
    if "openvino" in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    modules[_CONVERTER] = None  # importing it fails then, as where it is not installed, which openvino allows
    try:
        import openvino
    finally:
        del modules[_CONVERTER]
    openvino.__getattr__ = _late


def _late(name: str) -> Any:
    if name != _OF_CONVERTER:
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    from openvino.tools.ovc import convert_model

    return convert_model


def return_memory() -> None:
    """Give memory that was freed back to the system. glibc keeps some unless it is asked; elsewhere this does
    nothing."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
