"""Several searches at once answer as the same searches one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.services.search.test_searcher import COLOURS, IDS, picture
from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Hit, Point, Query
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.errors import BadRequest, BadVector, NotFound, VitrineError
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.search.options import SearchOptions, SearchResult
from vitrine.services.search.questions import ByExamples, ByFusion, ById, ByImage, ByText, ByVector
from vitrine.services.search.searcher import Search
from vitrine.services.settings import Settings


class CountingStore(OracleVectorStore):
    """Says how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def query_batch(self, collection: str, queries: list[Query]) -> list[list[Hit]]:  # type: ignore[override]
        self.asked.append(len(queries))
        return super().query_batch(collection, queries)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    settings = Settings(data=tmp_path)
    pool = EncoderPool(settings)
    encoders = [ColourEncoder("fine", 64), ColourEncoder("coarse", 27)]
    for encoder in encoders:
        pool.register(encoder)
    runtime = assemble(settings, CountingStore(), LocalObjectStore(tmp_path, min_free_mb=0), pool)
    runtime.catalog.create("colours", [encoder.spec for encoder in encoders])
    images = [Image.new("RGB", (16, 16), colour) for colour in COLOURS.values()]
    vectors = [encoder.encode_images(images) for encoder in encoders]
    points = [
        Point(
            IDS[name],
            {encoder.spec.name: rows[n] for encoder, rows in zip(encoders, vectors, strict=True)},
            {"tags": [name, "warm" if n < 2 else "cool"]},
        )
        for n, name in enumerate(COLOURS)
    ]
    runtime.vectors.upsert("colours", points)
    yield runtime
    pool.close()


def random_search(rng: random.Random) -> Search:
    using = rng.choice([None, "fine", "coarse"])
    options = SearchOptions(
        using=using,
        limit=rng.randint(1, 5),
        offset=rng.randint(0, 2),
        conditions=rng.choice([Conditions(), Conditions(tags_none=("warm",))]),
        min_similarity=rng.choice([None, 0.2]),
        diversity=rng.choice([None, None, None, 0.5]),
        collapse=rng.random() < 0.2,
        with_vectors=rng.random() < 0.2,
    )
    ids = rng.sample(list(IDS.values()), 3)
    dim = 27 if using == "coarse" else 64
    return rng.choice(
        [
            Search(ByText(rng.choice(list(COLOURS))), options),
            Search(ByImage(picture(rng.choice(list(COLOURS.values())))), options),
            Search(ByVector([rng.random() + 0.1 for _ in range(dim)]), options),
            Search(ById(ids[0]), options),
            Search(ByExamples(tuple(ids[:2]), tuple(ids[2:][: rng.randint(0, 1)])), options),
            Search(ByExamples((ids[0], picture(COLOURS["red"]))), options),
            Search(ByFusion(ids[0], ("fine", "coarse")), SearchOptions(limit=3)),
        ]
    )


def shape(result: SearchResult) -> object:
    hits = [
        (hit.id, hit.payload, {name: vector.tolist() for name, vector in hit.vectors.items()})
        for hit in result.hits
    ]
    return hits, result.encoder, dict(result.similar)


@pytest.mark.parametrize("seed", range(8))
def test_a_batch_answers_as_its_searches_one_by_one(runtime: Runtime, seed: int) -> None:
    rng = random.Random(seed)
    searches = [random_search(rng) for _ in range(rng.randint(1, 12))]
    together = runtime.searcher.search_all("colours", searches)
    alone = [runtime.searcher.search("colours", each.question, each.options) for each in searches]
    assert [shape(one) for one in together] == [shape(one) for one in alone]
    for one, other in zip(together, alone, strict=True):
        assert np.allclose(
            [hit.similarity for hit in one.hits], [hit.similarity for hit in other.hits], atol=1e-6
        )


def test_the_engine_is_asked_once(runtime: Runtime) -> None:
    store = runtime.vectors
    assert isinstance(store, CountingStore)
    options = SearchOptions(limit=2)
    searches = [
        Search(ByText("red"), options),
        Search(ById(IDS["blue"]), options),
        Search(ById(IDS["blue"]), SearchOptions(limit=2, using="coarse")),
        Search(ByExamples((IDS["red"],)), options),
    ]
    runtime.searcher.search_all("colours", searches)
    assert store.asked == [4]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (Search(ById("00000000-0000-5000-8000-000000000000")), NotFound),
        (Search(ByText("red"), SearchOptions(limit=0)), BadRequest),
        (Search(ByText(" ")), BadRequest),
        (Search(ByExamples(())), BadRequest),
        (Search(ByVector([0.0] * 64)), BadVector),
        (Search(ByFusion(IDS["red"], ("fine", "coarse")), SearchOptions(min_similarity=0.1)), BadRequest),
        (Search(ByFusion(IDS["red"], ("fine", "fine"))), BadRequest),
    ],
)
def test_one_that_is_wrong_refuses_all(runtime: Runtime, wrong: Search, error: type[VitrineError]) -> None:
    with pytest.raises(error):
        runtime.searcher.search_all("colours", [Search(ByText("red")), wrong])
