from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.indexer.pictures import CATEGORY, make_runtime, picture
from vitrine.indexer.enrich.clusters.stored_vectors import read_vectors
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.errors import BadRequest, UnknownVector
from vitrine.services.runtime import Runtime


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    made = make_runtime(tmp_path)
    records = [
        ImageRecord("test", f"{n}.png", lambda n=n: picture(n), fields={"class": "odd" if n % 2 else "even"})  # type: ignore[misc]
        for n in range(20)
    ]
    assert index_images(records, made, CATEGORY).added == 20
    return made


def test_rows_ids_and_payloads_belong_together(runtime: Runtime) -> None:
    told: list[tuple[int, int]] = []
    category = runtime.catalog.get(CATEGORY)
    found = read_vectors(
        runtime.vectors, category, fields=("class",), progress=lambda done, total: told.append((done, total))
    )
    assert found.total == 20 and list(found.ids) == sorted(found.ids) and told[-1] == (20, 20)
    hits = runtime.vectors.retrieve(CATEGORY, found.ids, with_payload=("class",), with_vectors=(found.using,))
    for row, payload, hit in zip(found.x, found.payloads, hits, strict=True):
        assert hit is not None and np.array_equal(row, hit.vectors[found.using]) and payload == hit.payload


def test_a_sample_is_drawn_by_the_seed(runtime: Runtime) -> None:
    category = runtime.catalog.get(CATEGORY)
    some = [read_vectors(runtime.vectors, category, most=6, seed=seed) for seed in (1, 1, 2)]
    assert some[0].ids == some[1].ids != some[2].ids and len(some[0].ids) == 6 and some[0].total == 20
    whole = read_vectors(runtime.vectors, category)
    for id, row in zip(some[0].ids, some[0].x, strict=True):
        assert np.array_equal(row, whole.x[whole.ids.index(id)])
    assert read_vectors(runtime.vectors, category, most=99).ids == whole.ids


def test_nothing_to_read_is_refused(tmp_path: Path, runtime: Runtime) -> None:
    empty = make_runtime(tmp_path / "empty")
    with pytest.raises(BadRequest, match="index images"):
        read_vectors(empty.vectors, empty.catalog.get(CATEGORY))
    with pytest.raises(UnknownVector):
        read_vectors(runtime.vectors, runtime.catalog.get(CATEGORY), "nothing")
