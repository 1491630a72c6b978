from __future__ import annotations

import sys

import pytest

from tests.indexer.enrich.clusters.blobs import blobs
from vitrine.indexer.enrich.clusters.flat.flat import fit
from vitrine.indexer.job.optional import load
from vitrine.services.errors import BadRequest


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(BadRequest, match=r"scikit-learn.*vitrine\[clustering\]"):
        fit(blobs()[0], "dbscan", {"eps": 0.1})
    assert (
        fit(blobs()[0], "kmeans", {"clusters": 3}).max()
        == fit(blobs()[0], "agglomerative", {"clusters": 3}).max()
        == 2
    )
    assert load("json", "json").loads("1") == 1
