from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.indexer.pictures import CATEGORY, make_runtime, picture
from vitrine.indexer.ingest.upload import Upload, index_uploads
from vitrine.indexer.job.same_vectors import check_same_vectors
from vitrine.services.domain import Embeddings
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import EncoderMismatch, NotFound
from vitrine.services.runtime import Runtime
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByExamples, ById, ByImage, ByText
from vitrine.services.search.searcher import Search

OLD = "old"
NO_OPTIONS = SearchOptions()


def upload(runtime: Runtime, *seeds: int, category: str = CATEGORY) -> None:
    outcomes = index_uploads(runtime, category, [Upload(f"{seed}.png", picture(seed)) for seed in seeds])
    assert [outcome.outcome for outcome in outcomes] == ["added"] * len(seeds)


def turn(runtime: Runtime, cosine: float, category: str = CATEGORY) -> None:
    """Turn the stored vectors of all images by the same angle."""
    (spec,) = runtime.catalog.get(category).encoders
    hits = runtime.vectors.scroll(category, with_vectors=(spec.name,)).hits
    rows = turned(np.stack([hit.vectors[spec.name] for hit in hits]), cosine)
    runtime.vectors.update_vectors(category, [hit.id for hit in hits], spec.name, rows)


def stored(runtime: Runtime) -> tuple[str, list[str], Embeddings]:
    (spec,) = runtime.catalog.get(CATEGORY).encoders
    hits = runtime.vectors.scroll(CATEGORY, with_vectors=(spec.name,)).hits
    return spec.name, [hit.id for hit in hits], np.stack([hit.vectors[spec.name] for hit in hits])


def turned(rows: Embeddings, cosine: float) -> Embeddings:
    """Rows of length 1 with this cosine to the given ones."""
    side = np.roll(rows, 1, axis=1)
    side -= (side * rows).sum(1, keepdims=True) * rows
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    return (cosine * rows + np.sqrt(1 - cosine**2) * side).astype(np.float32)


def test_an_encoder_that_gives_other_vectors_than_the_stored_ones_is_refused(runtime: Runtime) -> None:
    check_same_vectors(runtime, CATEGORY)  # empty
    index_uploads(runtime, CATEGORY, [Upload(f"{number}.png", picture(number)) for number in range(3)])
    check_same_vectors(runtime, CATEGORY)
    name, ids, rows = stored(runtime)
    runtime.vectors.update_vectors(CATEGORY, ids, name, turned(rows, 0.998))
    check_same_vectors(runtime, CATEGORY)
    runtime.vectors.update_vectors(CATEGORY, ids, name, turned(rows, 0.99))
    with pytest.raises(EncoderMismatch, match=r"cosine of 0\.99.*another name"):
        check_same_vectors(runtime, CATEGORY)


def test_images_without_a_file_say_nothing(runtime: Runtime) -> None:
    index_uploads(runtime, CATEGORY, [Upload(f"{number}.png", picture(number)) for number in range(3)])
    name, ids, rows = stored(runtime)
    runtime.vectors.update_vectors(CATEGORY, ids, name, turned(rows, 0.5))
    for hit in runtime.vectors.scroll(CATEGORY).hits:
        runtime.objects.delete(hit.payload["object_key"])
    check_same_vectors(runtime, CATEGORY)


def test_a_category_that_is_not_there(runtime: Runtime) -> None:
    with pytest.raises(NotFound):
        check_same_vectors(runtime, "nothing")


def test_uploads_are_compared_once_a_process(runtime: Runtime) -> None:
    upload(runtime, 0, 1, 2)
    turn(runtime, 0.5)
    with pytest.raises(EncoderMismatch):
        upload(runtime, 3)
    assert runtime.vectors.count(CATEGORY) == 3
    for id in [hit.id for hit in runtime.vectors.scroll(CATEGORY).hits]:
        runtime.vectors.delete(CATEGORY, [id])
    upload(runtime, 0, 1, 2)
    upload(runtime, 3)
    turn(runtime, 0.5)
    upload(runtime, 4)


def test_a_category_of_the_same_name_is_compared_anew(runtime: Runtime) -> None:
    spec = runtime.catalog.get(CATEGORY).encoder()
    upload(runtime, 0, 1, 2)
    upload(runtime, 3)
    runtime.catalog.delete(CATEGORY)
    runtime.catalog.create(CATEGORY, [spec])
    upload(runtime, 0, 1, 2)
    turn(runtime, 0.5)
    with pytest.raises(EncoderMismatch):
        upload(runtime, 4)


class PooledEncoder(ColourEncoder):
    """An encoder that says how it pools."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self._spec = replace(self._spec, pooling=pooling)


@pytest.fixture
def make_old(tmp_path: Path) -> Iterator[object]:
    """Makes a runtime with a category ``old`` that does not say how its encoder pools, as those of 0.5."""
    made: list[Runtime] = []

    def make(pooling: str) -> Runtime:
        runtime = make_runtime(tmp_path / pooling, PooledEncoder(pooling))
        made.append(runtime)
        (spec,) = runtime.catalog.get(CATEGORY).encoders
        runtime.catalog.create(OLD, [replace(spec, pooling=None)])
        return runtime

    yield make
    for runtime in made:
        runtime.encoders.close()


def test_where_a_category_does_not_say_how_it_pools_queries_by_pictures_are_compared(make_old) -> None:
    runtime = make_old("cls")
    for category in (OLD, CATEGORY):
        upload(runtime, 0, 1, 2, category=category)
        turn(runtime, 0.5, category)
    new, options = picture(9), NO_OPTIONS
    queries = {
        "image": lambda category: runtime.searcher.search(category, ByImage(new), options),
        "examples": lambda category: runtime.searcher.search(category, ByExamples((new,)), options),
        "batch": lambda category: runtime.searcher.search_all(category, [Search(ByImage(new), options)]),
    }
    for query in queries.values():
        assert query(CATEGORY)  # it says how its vectors were pooled
        with pytest.raises(EncoderMismatch, match="`category add-encoder`"):
            query(OLD)
    assert runtime.searcher.search(OLD, ByText("red"), options).hits
    assert runtime.searcher.search(OLD, ById(runtime.vectors.scroll(OLD).hits[0].id), options).hits


def test_what_was_pooled_as_it_is_now_is_compared_once(make_old) -> None:
    runtime = make_old("cls")
    upload(runtime, 0, 1, 2, category=OLD)
    assert runtime.searcher.search(OLD, ByImage(picture(9)), NO_OPTIONS).hits
    turn(runtime, 0.5, OLD)
    assert runtime.searcher.search(OLD, ByImage(picture(9)), NO_OPTIONS).hits


def test_a_pooling_that_never_changed_is_not_compared(make_old) -> None:
    runtime = make_old("projected")
    upload(runtime, 0, 1, 2, category=OLD)
    turn(runtime, 0.5, OLD)
    assert runtime.searcher.search(OLD, ByImage(picture(9)), NO_OPTIONS).hits
