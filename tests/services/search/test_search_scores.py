"""Queries on scores never mix those of two taggers: held against a loop over all payloads."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.fields import QUALITY
from vitrine.services.category.filters import Conditions, parse_conditions
from vitrine.services.domain import OrderBy, Point
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.images.open import point_id
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.search.counts import count_bins
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByText
from vitrine.services.search.score_validity import index_sources
from vitrine.services.settings import Settings

NAME = "scored"
IMAGES = 120
OLD = "lr@2020-01-01T00:00:00.000+00:00"


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    settings = Settings(data=tmp_path, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    pool = EncoderPool(settings)
    spec = pool.register(ColourEncoder()).spec
    made = assemble(settings, OracleVectorStore(), LocalObjectStore(tmp_path, min_free_mb=0), pool)
    made.catalog.create(NAME, [spec])
    made.catalog.ensure_indexes(
        NAME, {"scores.cat": "float", 'scores."red mug"': "float", "scores.sun": "float"}
    )
    yield made
    pool.close()


def head(runtime: Runtime, tag: str) -> TagHead:
    spec = runtime.catalog.get(NAME).encoder()
    return TagHead(tag, "lr", spec.name, spec.revision, np.ones(spec.dim, np.float32), 0.0)


def fill(runtime: Runtime, now: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Images with scores by the taggers in service, by former ones, by a manifest, or none."""
    pick, rows = random.Random(3), np.random.default_rng(1).normal(size=(IMAGES, 64))
    points = []
    for number in range(IMAGES):
        payload: dict[str, Any] = {"filename": f"{number}.png", "scores": {}, "scored_by": {}}
        for tag in ("cat", "red mug", "sun"):
            who = pick.choice([now.get(tag), now.get(tag), OLD, "manifest", None])
            if who:
                payload["scores"][tag], payload["scored_by"][tag] = round(pick.random(), 2), who
        who = pick.choice([now.get(QUALITY), OLD, "people", None])
        if who:
            payload["quality"] = round(pick.random(), 2)
            payload["scored_by"] |= {} if who == "people" else {QUALITY: who}
        vector = (rows[number] / np.linalg.norm(rows[number])).astype(np.float32)
        points.append(Point(point_id(f"{number:064x}"), {"colour": vector}, payload))
    runtime.vectors.upsert(NAME, points)
    return {point.id: point.payload for point in points}


Seen = Callable[[dict[str, Any], str], float | None]


def seen_with(unsettled: Mapping[str, str]) -> Seen:
    """The score that a query may see of a payload."""

    def seen(payload: dict[str, Any], tag: str) -> float | None:
        who = payload["scored_by"].get(tag)
        value: float | None = payload.get(QUALITY) if tag == QUALITY else payload["scores"].get(tag)
        stale = tag in unsettled and who != unsettled[tag] and not (tag == QUALITY and who is None)
        return None if stale else value

    return seen


def at_least(field: str, value: float) -> dict[str, Any]:
    return {"key": field, "range": {"gte": value}}


CASES: list[tuple[dict[str, Any], Callable[[Callable[[str], float | None]], bool]]] = [
    ({"scores": {"cat": {"gte": 0.4}}}, lambda score: (score("cat") or 0) >= 0.4),
    (
        {"scores": {"red mug": {"lt": 0.6}, "sun": {"gte": 0.2}}},
        lambda score: (
            (score("red mug") if score("red mug") is not None else 1) < 0.6 and (score("sun") or 0) >= 0.2
        ),
    ),
    ({"quality": {"gte": 0.3}}, lambda score: (score(QUALITY) or 0) >= 0.3),
    ({"where": {"must_not": [at_least("scores.cat", 0.5)]}}, lambda score: (score("cat") or 0) < 0.5),
    (
        {"where": {"should": [at_least("scores.cat", 0.7), at_least("scores.sun", 0.7)]}},
        lambda score: (score("cat") or 0) >= 0.7 or (score("sun") or 0) >= 0.7,
    ),
    ({"where": {"must": [{"is_empty": {"key": "scores.cat"}}]}}, lambda score: score("cat") is None),
    (
        {"where": {"must": [{"must_not": [{"is_empty": {"key": "quality"}}]}]}},
        lambda score: score(QUALITY) is not None,
    ),
    (
        {
            "where": {
                "min_should": {
                    "conditions": [
                        at_least("scores.cat", 0.3),
                        at_least("scores.sun", 0.3),
                        at_least("quality", 0.3),
                    ],
                    "min_count": 2,
                }
            }
        },
        lambda score: sum((score(tag) or 0) >= 0.3 for tag in ("cat", "sun", QUALITY)) >= 2,
    ),
]


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize(("tree", "holds"), CASES)
def test_conditions_see_the_scores_of_the_tagger_in_service_alone(
    runtime: Runtime,
    tree: dict[str, Any],
    holds: Callable[[Callable[[str], float | None]], bool],
    settled: bool,
) -> None:
    heads = [head(runtime, tag) for tag in ("cat", "red mug", QUALITY)]
    saved = runtime.taggers.save(NAME, heads, scored=[] if settled else ["cat", "red mug", QUALITY])
    now = {its.tag: its.signature for its in saved}
    images, seen = fill(runtime, now), seen_with({} if settled else now)
    expected = {id for id, payload in images.items() if holds(lambda tag: seen(payload, tag))}  # noqa: B023
    assert 0 < len(expected) < IMAGES
    conditions = parse_conditions(tree)
    assert {hit.id for hit in runtime.searcher.listing(NAME, conditions, limit=1000).hits} == expected
    assert runtime.searcher.count(NAME, conditions) == len(expected)
    options = SearchOptions(conditions=conditions, limit=IMAGES)
    assert {hit.id for hit in runtime.searcher.search(NAME, ByText("red"), options).hits} == expected
    assert {hit.id for hit in runtime.searcher.random(NAME, conditions, limit=IMAGES)} == expected
    indexes = runtime.catalog.get(NAME).indexes
    assert any(field.startswith("scored_by") for field in indexes) is not settled


@pytest.mark.parametrize("tag", ["cat", QUALITY])
def test_orders_and_histograms_see_them_alone(runtime: Runtime, tag: str) -> None:
    (saved,) = runtime.taggers.save(NAME, [head(runtime, tag)], scored=[tag])
    images, seen = fill(runtime, {tag: saved.signature}), seen_with({tag: saved.signature})
    field = QUALITY if tag == QUALITY else f"scores.{tag}"
    values = sorted(
        (value for value in (seen(payload, tag) for payload in images.values()) if value is not None),
        reverse=True,
    )
    page = runtime.searcher.listing(NAME, Conditions(), order_by=OrderBy(field, descending=True), limit=1000)
    assert [seen(images[hit.id], tag) for hit in page.hits] == values
    assert sum(bin.count for bin in count_bins(runtime.searcher, NAME, field, Conditions())) == len(values)


def test_settled_tags_and_other_fields_never_ask_the_taggers(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    (saved,) = runtime.taggers.save(NAME, [head(runtime, "cat")], scored=["cat"])
    fill(runtime, {"cat": saved.signature})
    monkeypatch.setattr(runtime.taggers, "unsettled", lambda category: pytest.fail("asked"))
    runtime.searcher.count(NAME, parse_conditions({"width": {"gte": 1}}))
    runtime.searcher.listing(NAME, Conditions(), order_by=OrderBy("width"))
    monkeypatch.undo()
    runtime.taggers.settle(NAME, [saved])
    runtime.searcher.count(NAME, parse_conditions({"scores": {"cat": {"gte": 0.5}}}))
    assert "scored_by.cat" not in runtime.catalog.get(NAME).indexes


def test_only_the_tags_that_are_asked_for_get_an_index(runtime: Runtime) -> None:
    saved = runtime.taggers.save(
        NAME, [head(runtime, "cat"), head(runtime, "red mug")], scored=["cat", "red mug"]
    )
    fill(runtime, {its.tag: its.signature for its in saved})
    runtime.searcher.count(NAME, parse_conditions({"scores": {"red mug": {"gte": 0.5}}}))
    assert [field for field in runtime.catalog.get(NAME).indexes if "scored_by" in field] == [
        'scored_by."red mug"'
    ]
    assert "scored_by.cat" in index_sources(runtime.catalog, NAME, ["cat"]).indexes


def test_proposals_and_rejections_are_conditions_of_their_own(runtime: Runtime) -> None:
    images = fill(runtime, {})
    first, second, third = list(images)[:3]
    runtime.catalog.ensure_indexes(NAME, {"machine_tags": "keyword", "rejected_tags": "keyword"})
    runtime.vectors.set_payload(
        NAME,
        {
            first: {"machine_tags": ["cat"]},
            second: {"machine_tags": ["dog"]},
            third: {"rejected_tags": ["cat"]},
        },
    )
    found = {
        "proposed": parse_conditions({"machine_tags_any": ["cat", "dog"]}),
        "rejected": parse_conditions({"rejected_tags_any": ["cat"]}),
    }
    assert {hit.id for hit in runtime.searcher.listing(NAME, found["proposed"]).hits} == {first, second}
    assert {hit.id for hit in runtime.searcher.listing(NAME, found["rejected"]).hits} == {third}
