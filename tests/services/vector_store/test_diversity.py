"""Re-ranking for variety, on every engine, against slow plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.services.vector_store.conftest import Pair
from tests.services.vector_store.oracle import similarity
from tests.services.vector_store.random_data import unit
from vitrine.services.domain import Hit, Near, Query
from vitrine.services.filters.conditions import Filter, MatchValue
from vitrine.services.search.diversity import diversified

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


def ids_of(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def slowly(pair: Pair, query: Query, diversity: float, wanted: int, pool: int) -> list[str]:
    """(1 - diversity) relevance - diversity (similarity to the closest already chosen), one image after the
    other."""
    near = replace(query, limit=pool, offset=0, with_vectors=("clip",))
    pending, chosen = pair.oracle.query(pair.name, near), list[Hit]()

    def gain(hit: Hit) -> float:
        assert hit.similarity is not None
        if not chosen:
            return hit.similarity
        closest = max(similarity(hit.vectors["clip"], one.vectors["clip"]) for one in chosen)
        return (1 - diversity) * hit.similarity - diversity * closest

    while pending and len(chosen) < wanted:
        best = max(pending, key=gain)
        chosen.append(best)
        pending.remove(best)
    return ids_of(chosen)


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.7, 1.0])
def test_it_is_maximal_marginal_relevance_and_pages_are_slices(filled: Pair, diversity: float) -> None:
    query = Query(Near(unit(np.random.default_rng(3), 16)), using="clip")
    expected = slowly(filled, query, diversity, 31, 127)
    for limit, offset in ((31, 0), (5, 4), (1, 0), (1, 30), (10, 7)):
        found = diversified(filled.store, filled.name, replace(query, limit=limit, offset=offset), diversity)
        assert ids_of(found) == expected[offset : offset + limit]
        plain = {
            hit.id: hit.similarity for hit in filled.oracle.query(filled.name, replace(query, limit=127))
        }
        assert [hit.similarity for hit in found] == pytest.approx([plain[hit.id] for hit in found], abs=2e-3)
        assert all(hit.payload and not hit.vectors for hit in found)


def test_every_image_comes_once_however_deep_the_pages_go(filled: Pair) -> None:
    query = Query(Near(unit(np.random.default_rng(3), 16)), using="clip", limit=500, with_payload=False)
    whole = ids_of(diversified(filled.store, filled.name, query, 0.4))
    assert sorted(whole) == sorted(filled.ids)
    for size in (9, 30, 99):
        pages = [
            diversified(filled.store, filled.name, replace(query, limit=size, offset=at), 0.4)
            for at in range(0, 160, size)
        ]
        assert [id for page in pages for id in ids_of(page)] == whole


def test_it_keeps_to_the_query(filled: Pair) -> None:
    filter = Filter(must_not=(MatchValue("class", "elk"),))
    query = Query(
        Near(unit(np.random.default_rng(3), 16)),
        using="clip",
        filter=filter,
        exclude=tuple(filled.ids[:20]),
        limit=500,
    )
    query = replace(query, min_similarity=0.1, with_vectors=("vit",))
    found = diversified(filled.store, filled.name, query, 0.5)
    assert sorted(ids_of(found)) == sorted(ids_of(filled.store.query(filled.name, query)))
    assert 5 < len(found) < 140 and all(set(hit.vectors) <= {"vit"} for hit in found)
    assert diversified(filled.store, filled.name, replace(query, min_similarity=0.999), 0.5) == []
