"""Libraries that are no part of the first install: each comes with an extra, such as ``vitrine[train]``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from vitrine.services.errors import MissingExtra

Extra = Literal["train", "cluster", "parquet", "heif", "raw", "archives"]

PACKAGES: Mapping[str, str] = {
    "datasketch": "datasketch",
    "imagehash": "ImageHash",
    "matplotlib": "matplotlib",
    "nncf": "nncf",
    "pillow_heif": "pillow-heif",
    "py7zr": "py7zr",
    "pyarrow": "pyarrow",
    "pytorch_metric_learning": "pytorch-metric-learning",
    "rarfile": "rarfile",
    "rawpy": "rawpy",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tensorboard": "tensorboard",
    "torch": "torch",
    "transformers": "transformers",
    "umap": "umap-learn",
}
"""The package of each library that comes with an extra, by the name that it is imported by."""


@contextmanager
def from_extra(extra: Extra) -> Iterator[None]:
    """Import libraries of an extra inside this block. Raises ``MissingExtra``, which says how to install it,
    where one of them is missing.

    >>> with from_extra("cluster"):
    ...     import json.nothing
    Traceback (most recent call last):
    ModuleNotFoundError: No module named 'json.nothing'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = PACKAGES.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        raise _missing(package, extra) from error


def load_extra(module: str, extra: Extra) -> Any:
    """Import a module of an extra's library. Raises ``MissingExtra`` as ``from_extra`` does.

    >>> load_extra("json", "cluster").dumps([1])
    '[1]'
    """
    with from_extra(extra):
        return import_module(module)


def require_extra(library: str, extra: Extra) -> None:
    """Raise ``MissingExtra`` where a library, by its name in ``PACKAGES``, is not installed. Nothing is
    imported: for work that needs the library only at its end.

    >>> require_extra("json", "cluster")
    """
    if not has_library(library):
        raise _missing(PACKAGES.get(library, library), extra)


def has_library(name: str) -> bool:
    """Return whether a library, by its name in ``PACKAGES``, is installed; it is not imported."""
    try:
        return find_spec(name) is not None
    except ValueError:  # a module without a spec, or None in its place
        return False


def _missing(package: str, extra: Extra) -> MissingExtra:
    return MissingExtra(
        f"This needs {package}, which is not installed: install the extra {extra} (pip install "
        f"'vitrine[{extra}]').",
        extra=extra,
        package=package,
    )
