"""UMAP without waiting for its compiler."""

from __future__ import annotations

import pytest


def plain_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let UMAP's own functions for neighbours run as the Python they are written in: for a hundred rows
    compiling them takes many times as long as running them. Skips where UMAP is not installed."""
    umap = pytest.importorskip("umap.umap_")
    for name in ("fast_knn_indices", "smooth_knn_dist", "compute_membership_strengths"):
        function = getattr(umap, name)
        monkeypatch.setattr(umap, name, getattr(function, "py_func", function))
