"""The optional packages of clustering, loaded when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from vitrine.services.errors import BadRequest


def load(module: str, package: str) -> Any:
    """Import ``module``, which comes with ``package``. Raises ``BadRequest``, which says how to install it,
    where it is missing.

    >>> load("json", "json").dumps([1])
    '[1]'
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise BadRequest(
            f"This needs {package}, which is not installed: install the extra clustering (pip install "
            "'vitrine[clustering]')."
        ) from error
