"""The best hits of each value, and the totals of searches, are those of loops over all hits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.services.search.test_summary import IMAGES, NAME, fill, runtime, unit, with_two_nodes
from vitrine.services.artifacts.clusters import ROOT
from vitrine.services.artifacts.duplicates import DuplicateGroup, DuplicateRun, Member
from vitrine.services.category.filters import parse_conditions
from vitrine.services.columns.store import ColumnStore
from vitrine.services.domain import AllBut, Hit
from vitrine.services.errors import BadRequest, UnknownField
from vitrine.services.runtime import Runtime
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByFusion, ById, ByVector
from vitrine.services.search.searcher import Search
from vitrine.services.search.whole.grouping import search_grouped
from vitrine.services.search.whole.totals import search_with_total

__all__ = ["runtime"]
VECTOR = unit(np.random.default_rng(2).normal(size=64))


@pytest.fixture(params=["columns", "payloads"])
def columns(request: pytest.FixtureRequest, runtime: Runtime) -> Iterator[ColumnStore]:
    rows = 5_000_000 if request.param == "columns" else 0
    yield ColumnStore(runtime.catalog, runtime.vectors, runtime.clusters, runtime.maps, max_rows=rows)


def first_value(payload: dict[str, Any], field: str) -> Any:
    value: Any = payload
    for key in field.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, list):
        return value[0] if value else None
    return value


def expected(hits: tuple[Hit, ...], field: str, size: int) -> list[tuple[Any, list[str]]]:
    """The groups by a loop over all hits."""
    groups: dict[Any, tuple[Any, list[str]]] = {}
    for hit in hits:
        value = first_value(hit.payload, field)
        ids = groups.setdefault(("no value", hit.id) if value is None else value, (value, []))[1]
        if len(ids) < size:
            ids.append(hit.id)
    return list(groups.values())


def shown(found: Any) -> list[tuple[Any, list[str]]]:
    hits = iter(found.result.hits)
    groups = [(group.value, [next(hits).id for _ in range(group.hits)]) for group in found.groups]
    assert next(hits, None) is None
    return groups


def whole(runtime: Runtime, **options: Any) -> tuple[Hit, ...]:
    return runtime.searcher.search(NAME, ByVector(VECTOR), SearchOptions(limit=10_000, **options)).hits


@pytest.mark.parametrize("field", ["class", "tags", "metadata.year", "metadata.sold"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_best_hits_of_each_value(runtime: Runtime, columns: ColumnStore, field: str, size: int) -> None:
    fill(runtime)
    conditions = parse_conditions({"width": {"gte": 200}})
    for least in (None, 0.02):
        options = {"conditions": conditions, "min_similarity": least}
        groups = expected(whole(runtime, **options), field, size)
        for offset, limit in ((0, 2), (1, 3), (2, 500)):
            search = Search(ByVector(VECTOR), SearchOptions(offset=offset, limit=limit, **options))
            found = search_grouped(runtime.searcher, columns, NAME, search, field, size=size)
            assert shown(found) == groups[offset : offset + limit]
            assert found.total is None
        counted = search_grouped(runtime.searcher, columns, NAME, search, field, size=size, total=True)
        assert counted.total == len(whole(runtime, **options))


def test_hits_have_their_similarity_and_what_is_wanted_of_them(
    runtime: Runtime, columns: ColumnStore
) -> None:
    fill(runtime)
    similar = {hit.id: hit.similarity for hit in whole(runtime)}
    options = SearchOptions(limit=5, fields=("width",), with_vectors=True)
    found = search_grouped(runtime.searcher, columns, NAME, Search(ByVector(VECTOR), options), "class")
    for hit in found.result.hits:
        assert hit.similarity == similar[hit.id]
        assert hit.payload.keys() <= {"width"} and hit.vectors["colour"].shape == (64,)
    assert found.result.encoder.name == "colour"


def test_leaves_of_a_cluster_run_are_grouped_by(runtime: Runtime, columns: ColumnStore) -> None:
    ids = list(fill(runtime))
    saved = with_two_nodes(runtime)
    node_of = {id: f"root-{1 + number % 2}" for number, id in enumerate(ids)}
    runtime.vectors.set_payload(
        NAME, {id: {saved.key: {"path": [ROOT, node]}} for id, node in node_of.items()}, key="clusters"
    )
    runtime.catalog.ensure_indexes(NAME, {saved.payload_field: "keyword"})
    search = Search(ByVector(VECTOR), SearchOptions(limit=5))
    found = search_grouped(runtime.searcher, columns, NAME, search, "cluster.look")
    best: dict[str, str] = {}
    for hit in whole(runtime):
        best.setdefault(node_of[hit.id], hit.id)
    assert shown(found) == [(node, [id]) for node, id in best.items()]


def copies(runtime: Runtime, ids: list[str]) -> None:
    """Put the images into groups of near-duplicates, three by three."""
    groups = tuple(
        DuplicateGroup("", tuple(Member(id, "identical", 1.0) for id in ids[start : start + 3]))
        for start in range(0, 60, 3)
    )
    saved = runtime.duplicates.save(NAME, DuplicateRun("colour", IMAGES, groups))
    runtime.duplicates.put_in_service(NAME, saved.key)
    runtime.vectors.set_payload(
        NAME,
        {member.id: {"duplicate_group": group.id} for group in saved.groups for member in group.members},
    )


def test_copies_are_collapsed_before_they_are_grouped(runtime: Runtime, columns: ColumnStore) -> None:
    copies(runtime, list(fill(runtime)))
    search = Search(ByVector(VECTOR), SearchOptions(limit=20, collapse=True))
    found = search_grouped(runtime.searcher, columns, NAME, search, "class", size=100, total=True)
    hits = whole(runtime, collapse=True)
    assert shown(found) == expected(hits, "class", 100)[:20]
    assert found.total == len(hits) < IMAGES


@pytest.mark.parametrize("least", [None, 0.05, 0.5, 2.0])
@pytest.mark.parametrize("collapse", [False, True])
def test_the_total_of_a_search_is_the_number_of_all_its_hits(
    runtime: Runtime, columns: ColumnStore, least: float | None, collapse: bool
) -> None:
    copies(runtime, ids := list(fill(runtime)))
    conditions = parse_conditions({"class": ["mug", "hat"], "ids": ids[:100]})
    for question in (ByVector(VECTOR), ById(ids[4])):
        options = SearchOptions(conditions=conditions, min_similarity=least, collapse=collapse, limit=3)
        found, total = search_with_total(runtime.searcher, columns, NAME, Search(question, options))
        alone = runtime.searcher.search(NAME, question, options)
        assert [hit.id for hit in found.hits] == [hit.id for hit in alone.hits]
        everything = runtime.searcher.search(
            NAME,
            question,
            SearchOptions(conditions=conditions, min_similarity=least, collapse=collapse, limit=4_000),
        )
        assert total == len(everything.hits)


def test_the_total_of_fused_ranks_counts_images_with_any_of_the_vectors(
    runtime: Runtime, columns: ColumnStore
) -> None:
    first = next(iter(fill(runtime)))
    search = Search(ByFusion(first, ("colour", "coarse")), SearchOptions(limit=2))
    found, total = search_with_total(runtime.searcher, columns, NAME, search)
    assert len(found.hits) == 2 and total == IMAGES - 1


@pytest.mark.parametrize(
    "fields", [(), ("class",), ("class", "duplicate_group"), False, True, AllBut(("tags",))]
)
def test_collapsed_hits_have_the_fields_that_are_wanted(runtime: Runtime, fields: Any) -> None:
    copies(runtime, list(fill(runtime)))
    plain = {hit.id: hit.payload for hit in whole(runtime, fields=fields)}
    for hit in whole(runtime, fields=fields, collapse=True):
        assert hit.payload == plain[hit.id]


def test_what_cannot_be_grouped_is_refused(runtime: Runtime, columns: ColumnStore) -> None:
    fill(runtime)

    def ask(field: str, size: int = 1, **options: Any) -> None:
        search = Search(ByVector(VECTOR), SearchOptions(**options))
        search_grouped(runtime.searcher, columns, NAME, search, field, size=size)

    with pytest.raises(UnknownField, match="These can"):
        ask("quality")
    for size in (0, 101):
        with pytest.raises(BadRequest):
            ask("class", size)
    with pytest.raises(BadRequest):
        ask("class", diversity=0.5)
    with pytest.raises(BadRequest):
        ask("class", limit=0)
