"""A summary says what loops over all images say, whether columns or the engine counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.services.search.test_search_scores import seen_with
from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.artifacts.clusters import ROOT, ClusterRun, Node
from vitrine.services.artifacts.duplicates import GROUPS, DuplicateGroup, DuplicateRun, Member
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.filters import Conditions, parse_conditions
from vitrine.services.columns.store import ColumnStore
from vitrine.services.domain import Embedding, Payload, Point
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.errors import BadRequest, NotFound, UnknownField
from vitrine.services.images.open import point_id
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByExamples, ByFusion, ById, ByVector
from vitrine.services.search.searcher import Search
from vitrine.services.search.summary.plan import FacetAsk, HistogramAsk, Summary, SummaryAsk
from vitrine.services.search.summary.summarise import summarise
from vitrine.services.settings import Settings

NAME = "shop"
IMAGES = 150
OLD = "lr@2020-01-01T00:00:00.000+00:00"
START = datetime(2024, 1, 1, tzinfo=UTC)
Summarise = Callable[..., Summary]
"""Takes what is asked, and conditions or a search."""


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    settings = Settings(data=tmp_path, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    pool = EncoderPool(settings)
    encoders = [ColourEncoder("colour", 64), ColourEncoder("coarse", 27)]
    for encoder in encoders:
        pool.register(encoder)
    made = assemble(settings, OracleVectorStore(), LocalObjectStore(tmp_path, min_free_mb=0), pool)
    made.catalog.create(NAME, [encoder.spec for encoder in encoders])
    made.catalog.ensure_indexes(
        NAME,
        {
            "scores.cat": "float",
            "metadata.year": "integer",
            "metadata.sizes": "float",
            "metadata.sold": "bool",
            'metadata."EXIF:ISO"': "keyword",
        },
    )
    yield made
    pool.close()


@pytest.fixture(params=["columns", "engine"])
def summary(request: pytest.FixtureRequest, runtime: Runtime) -> Summarise:
    """Counts by columns; or without, since no category may have any."""
    rows = 5_000_000 if request.param == "columns" else 0
    columns = ColumnStore(runtime.catalog, runtime.vectors, runtime.clusters, runtime.maps, max_rows=rows)

    def ask(asked: SummaryAsk, conditions: Conditions | None = None, search: Search | None = None) -> Summary:
        if rows:  # or a slow machine would have the engine count
            columns.snapshot(NAME, (), patience=None)
        return summarise(
            runtime.searcher, columns, NAME, asked, conditions=conditions or Conditions(), search=search
        )

    return ask


def unit(row: Any) -> Embedding:
    return np.asarray(row / np.linalg.norm(row), np.float32)


def fill(runtime: Runtime, scorer: str = OLD) -> dict[str, Payload]:
    """Images with some of all fields; their payloads by id."""
    pick, rng = random.Random(4), np.random.default_rng(4)
    points = []
    for number in range(IMAGES):
        payload: Payload = {
            "filename": f"{number}.png",
            "class": pick.choice(["mug", "shoe", "hat"]),
            "tags": pick.sample(["red", "blue", "sale", "new"], pick.randrange(4)),
            "width": pick.choice([100, 200, 300]),
            "bytes": pick.randrange(1_000, 9_000),
            "created_at": (START + timedelta(hours=pick.randrange(100))).isoformat(),
            "quality": round(pick.random(), 2),
            "scores": {"cat": round(pick.random(), 2)},
            "scored_by": {"cat": pick.choice([scorer, OLD])},
            "metadata": {
                "year": pick.randrange(1990, 2000),
                "sizes": [38.5, 39, 40][: pick.randrange(1, 4)],
                "sold": pick.random() < 0.5,
                "EXIF:ISO": pick.choice(["100", "400"]),
            },
        }
        for field in list(payload):
            if field != "filename" and pick.random() < 0.1:
                del payload[field]
        vectors = {"colour": unit(rng.normal(size=64)), "coarse": unit(rng.normal(size=27))}
        points.append(Point(point_id(f"{number:064x}"), vectors, payload))
    runtime.vectors.upsert(NAME, points)
    return {point.id: point.payload for point in points}


def at(payload: Payload, *keys: str) -> list[Any]:
    """The values of a field; none where it is missing."""
    value: Any = payload
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, list) else [] if value is None else [value]


def facet(payloads: list[Payload], *keys: str, limit: int = 20) -> tuple[list[tuple[Any, int]], bool, int]:
    counts = Counter(value for payload in payloads for value in set(at(payload, *keys)))
    values = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return values[:limit], len(values) > limit, sum(not at(payload, *keys) for payload in payloads)


Holds = Callable[[Payload], bool]
CASES: list[tuple[dict[str, Any], dict[str, Holds]]] = [
    ({}, {}),
    ({"class": ["mug", "hat"]}, {"class": lambda p: p.get("class") in ("mug", "hat")}),
    (
        {"class": ["mug"], "tags_any": ["red"], "tags_none": ["new"], "width": {"gte": 200}},
        {
            "class": lambda p: p.get("class") == "mug",
            "tags": lambda p: "red" in p.get("tags", []) and "new" not in p["tags"],
            "width": lambda p: p.get("width", 0) >= 200,
        },
    ),
    (
        {
            "metadata": {"year": {"lt": 1995}, "sizes": [39], "EXIF:ISO": "100"},
            "scores": {"cat": {"gte": 0.3}},
        },
        {
            "metadata.year": lambda p: any(year < 1995 for year in at(p, "metadata", "year")),
            "metadata.sizes": lambda p: 39 in at(p, "metadata", "sizes"),
            "metadata.EXIF:ISO": lambda p: "100" in at(p, "metadata", "EXIF:ISO"),
            "scores.cat": lambda p: any(score >= 0.3 for score in at(p, "scores", "cat")),
        },
    ),
    (
        {"where": {"must_not": [{"key": "class", "match": {"value": "mug"}}]}},
        {"class": lambda p: p.get("class") != "mug"},
    ),
    (
        {"where": {"must": [{"key": "tags", "values_count": {"gte": 2}}]}, "class": ["shoe"]},
        {"tags": lambda p: len(p.get("tags", [])) >= 2, "class": lambda p: p.get("class") == "shoe"},
    ),
    (
        {"where": {"must": [{"should": [{"key": "class", "match": {"value": "mug"}}]}]}},
        {"nested": lambda p: p.get("class") == "mug"},
    ),
]
FACETS = {
    "class": ("class",),
    "tags": ("tags",),
    "width": ("width",),
    "metadata.year": ("metadata", "year"),
    "metadata.sold": ("metadata", "sold"),
    "metadata.EXIF:ISO": ("metadata", "EXIF:ISO"),
}
HISTOGRAMS = {
    "bytes": ("bytes",),
    "width": ("width",),
    "scores.cat": ("scores", "cat"),
    "metadata.sizes": ("metadata", "sizes"),
    "quality": ("quality",),
}
ASKED = SummaryAsk(
    tuple(FacetAsk(field, limit) for field in FACETS for limit in (2, 20)),
    tuple(HistogramAsk(field, bins) for field in HISTOGRAMS for bins in (1, 7)),
    similarity_bins=9,
)


def check(found: Summary, images: list[Payload], on_field: dict[str, Holds]) -> None:
    """Compare a summary with loops over the payloads of all images it may count."""

    def meeting(own: str | None) -> list[Payload]:
        return [p for p in images if all(it(p) for field, it in on_field.items() if field != own)]

    assert found.total == len(meeting(None))
    for counts, ask in zip(found.facets, ASKED.facets, strict=True):
        shown = [(it.value, it.count) for it in counts.values], counts.more, counts.missing
        assert counts.field == ask.field
        assert shown == facet(meeting(ask.field), *FACETS[ask.field], limit=ask.limit), ask
    for bins, wanted in zip(found.histograms, ASKED.histograms, strict=True):
        rows = [at(payload, *HISTOGRAMS[wanted.field]) for payload in meeting(wanted.field)]
        values = [value for row in rows for value in row]
        assert bins.missing == sum(not row for row in rows), wanted
        unit_range = wanted.field in ("scores.cat", "quality")
        lower, upper = (0.0, 1.0) if unit_range else (min(values), max(values))
        assert (bins.bins[0].lower, bins.bins[-1].upper) == (lower, upper)
        assert len(bins.bins) == (wanted.bins if upper > lower else 1)
        for number, one in enumerate(bins.bins, 1):
            end = np.nextafter(one.upper, np.inf) if number == len(bins.bins) else one.upper
            inside = [any(one.lower <= value < end for value in row) for row in rows]
            assert one.count == sum(inside), (wanted, one)


@pytest.mark.parametrize(("tree", "on_field"), CASES)
def test_a_listing_is_counted_over_all_images(
    runtime: Runtime, summary: Summarise, tree: dict[str, Any], on_field: dict[str, Holds]
) -> None:
    images = fill(runtime)
    found = summary(ASKED, parse_conditions(tree))
    check(found, list(images.values()), on_field)
    assert found.similarity is None


@pytest.mark.parametrize(("tree", "on_field"), CASES)
@pytest.mark.parametrize("least", [None, 0.05])
def test_a_search_is_counted_over_its_hits(
    runtime: Runtime,
    summary: Summarise,
    tree: dict[str, Any],
    on_field: dict[str, Holds],
    least: float | None,
) -> None:
    images, vector = fill(runtime), unit(np.random.default_rng(9).normal(size=64))
    conditions = parse_conditions(tree)
    whole = runtime.searcher.search(NAME, ByVector(vector), SearchOptions(limit=IMAGES))
    similar = {hit.id: hit.similarity or 0.0 for hit in whole.hits}
    near = [images[id] for id, it in similar.items() if least is None or it >= least]
    options = SearchOptions(conditions=conditions, limit=3, offset=2, min_similarity=least, diversity=0.4)
    found = summary(ASKED, search=Search(ByVector(vector), options))
    check(found, near, on_field)
    hits = [it for id, it in similar.items() if all(holds(images[id]) for holds in on_field.values())]
    assert found.similarity is not None and len(found.similarity) == 9
    assert sum(one.count for one in found.similarity) == len(hits)
    assert (found.similarity[0].lower, found.similarity[-1].upper) == (min(hits), max(hits))


def test_examples_are_not_among_what_is_counted(runtime: Runtime, summary: Summarise) -> None:
    images = fill(runtime)
    first, second, *others = images
    asked = SummaryAsk((FacetAsk("class"),))
    one = summary(asked, search=Search(ById(first)))
    assert one.total == IMAGES - 1 and one.similarity is None
    two = summary(asked, search=Search(ByExamples((first,), (second,))))
    assert two.total == len(others)
    assert [(it.value, it.count) for it in two.facets[0].values] == facet(
        [images[id] for id in others], "class"
    )[0]


def test_fused_ranks_have_no_histogram_of_similarity(runtime: Runtime, summary: Summarise) -> None:
    images = fill(runtime)
    asked = SummaryAsk((FacetAsk("class"),), similarity_bins=5)
    found = summary(asked, search=Search(ByFusion(next(iter(images)), ("colour", "coarse"))))
    assert found.total == IMAGES - 1 and found.similarity is None


def test_dates_are_counted_in_seconds(runtime: Runtime, summary: Summarise) -> None:
    images = fill(runtime)
    moments = [
        datetime.fromisoformat(payload["created_at"]).timestamp()
        for payload in images.values()
        if "created_at" in payload
    ]
    whole, day = summary(
        SummaryAsk(
            (),
            (
                HistogramAsk("created_at", 10),
                HistogramAsk("created_at", 24, START.timestamp(), START.timestamp() + 86_400),
            ),
        )
    ).histograms
    assert whole.bins[0].lower == min(moments) and whole.bins[-1].upper == max(moments)
    assert sum(one.count for one in whole.bins) == len(moments)
    assert whole.missing == IMAGES - len(moments)
    for hour, one in enumerate(day.bins):
        assert one.lower == START.timestamp() + 3_600 * hour
        end = one.upper + (hour == 23)  # no moment lies within a second after the last hour's end
        assert one.count == sum(one.lower <= moment < end for moment in moments)


def test_only_scores_by_the_tagger_in_service_count(runtime: Runtime, summary: Summarise) -> None:
    spec = runtime.catalog.get(NAME).encoder()
    head = TagHead("cat", "lr", spec.name, spec.revision, np.ones(64, np.float32), 0.0)
    (saved,) = runtime.taggers.save(NAME, [head], scored=["cat"])
    images = list(fill(runtime, saved.signature).values())
    now = {"cat": saved.signature}
    seen = seen_with(now)
    assert runtime.taggers.unsettled(NAME) == now
    valid = [score for p in images if (score := seen({"scored_by": {}, "scores": {}} | p, "cat")) is not None]
    asked = SummaryAsk((FacetAsk("class"),), (HistogramAsk("scores.cat", 10),))
    vector = unit(np.ones(64))
    for found in (summary(asked), summary(asked, search=Search(ByVector(vector)))):
        (scores,) = found.histograms
        assert sum(one.count for one in scores.bins) == len(valid) < IMAGES
        assert scores.missing == IMAGES - len(valid)
    high = [p for p in images if (seen({"scored_by": {}, "scores": {}} | p, "cat") or 0) >= 0.5]
    chosen = parse_conditions({"scores": {"cat": {"gte": 0.5}}})
    options = SearchOptions(conditions=chosen)
    for found in (summary(asked, chosen), summary(asked, search=Search(ByVector(vector), options))):
        assert found.total == len(high) > 0
        assert [(it.value, it.count) for it in found.facets[0].values] == facet(high, "class")[0]
        assert sum(one.count for one in found.histograms[0].bins) == len(valid)


def with_two_nodes(runtime: Runtime) -> ClusterRun:
    """Put a run of a root and two leaves in service; which image is where, the caller says."""
    nodes = {
        id: Node(id, parent, depth, 1, None, (), 0.5, children=children)
        for id, parent, depth, children in (
            (ROOT, None, 0, ("root-1", "root-2")),
            ("root-1", ROOT, 1, ()),
            ("root-2", ROOT, 1, ()),
        )
    }
    spec = runtime.catalog.get(NAME).encoder()
    run = ClusterRun("look", "tree", spec.name, spec.revision, nodes, np.ones((3, 64), np.float32), IMAGES)
    saved = runtime.clusters.save(NAME, run)
    runtime.clusters.put_in_service(NAME, saved.key)
    return saved


def test_nodes_of_a_cluster_run_are_values(runtime: Runtime, summary: Summarise) -> None:
    images = fill(runtime)
    saved = with_two_nodes(runtime)
    ids = list(images)
    for part, node in ((ids[:90], "root-1"), (ids[90:140], "root-2")):
        update = {saved.key: {"path": [ROOT, node], "id": node[-1]}}
        runtime.vectors.set_payload(NAME, {id: update for id in part}, key="clusters")
    runtime.catalog.ensure_indexes(NAME, {saved.payload_field: "keyword"})
    everything = [(ROOT, 140), ("root-1", 90), ("root-2", 50)]
    for tree, total in (({}, IMAGES), ({"clusters": {"look": "root-2"}}, 50)):
        found = summary(SummaryAsk((FacetAsk("cluster.look"),)), parse_conditions(tree))
        assert found.total == total and found.facets[0].field == "cluster.look"
        assert [(it.value, it.count) for it in found.facets[0].values] == everything
        assert found.facets[0].missing == 10
    with pytest.raises(NotFound):
        summary(SummaryAsk((FacetAsk("cluster.none"),)))


def test_copies_count_once_where_they_are_collapsed(runtime: Runtime, summary: Summarise) -> None:
    images, vector = fill(runtime), unit(np.random.default_rng(3).normal(size=64))
    ids = list(images)
    groups = tuple(
        DuplicateGroup("", tuple(Member(id, "identical", 1.0) for id in ids[start : start + 3]))
        for start in range(0, 60, 3)
    )
    saved = runtime.duplicates.save(NAME, DuplicateRun("colour", IMAGES, groups))
    runtime.duplicates.put_in_service(NAME, saved.key)
    named = {member.id: {"duplicate_group": group.id} for group in saved.groups for member in group.members}
    runtime.vectors.set_payload(NAME, named)
    options = SearchOptions(conditions=parse_conditions({"class": ["mug", "hat"]}), collapse=True)
    hits = runtime.searcher.search(
        NAME, ByVector(vector), SearchOptions(conditions=options.conditions, collapse=True, limit=1_000)
    ).hits
    found = summary(
        SummaryAsk((FacetAsk("tags"), FacetAsk("class"))), search=Search(ByVector(vector), options)
    )
    assert found.total == len(hits) < IMAGES
    tags, classes = found.facets
    assert [(it.value, it.count) for it in tags.values] == facet([images[hit.id] for hit in hits], "tags")[0]
    everyone = runtime.searcher.search(NAME, ByVector(vector), SearchOptions(collapse=True, limit=1_000)).hits
    assert [(it.value, it.count) for it in classes.values] == facet(
        [images[hit.id] for hit in everyone], "class"
    )[0]
    assert GROUPS in runtime.duplicates.entries(NAME)


def test_what_was_just_changed_is_counted(runtime: Runtime, summary: Summarise) -> None:
    images = fill(runtime)
    asked = SummaryAsk((FacetAsk("class"),))
    before = {it.value: it.count for it in summary(asked).facets[0].values}
    first = next(id for id, payload in images.items() if payload.get("class") == "mug")
    runtime.vectors.set_payload(NAME, {first: {"class": "vase"}})
    after = {it.value: it.count for it in summary(asked).facets[0].values}
    assert after == {**before, "mug": before["mug"] - 1, "vase": 1}
    runtime.vectors.delete(NAME, [first])
    assert summary(asked).total == IMAGES - 1


def test_nothing_is_counted_in_an_empty_category(summary: Summarise) -> None:
    found = summary(ASKED)
    assert found.total == 0
    assert all(not it.values and not it.more and not it.missing for it in found.facets)
    assert [len(it.bins) for it in found.histograms if it.field == "bytes"] == [0, 0]
    near = summary(ASKED, search=Search(ByVector(unit(np.ones(64)))))
    assert near.total == 0 and near.similarity == ()


@pytest.mark.parametrize(
    "asked",
    [
        SummaryAsk((FacetAsk("caption"),)),
        SummaryAsk((FacetAsk("quality"),)),
        SummaryAsk((), (HistogramAsk("class"),)),
        SummaryAsk((), (HistogramAsk("metadata.nothing"),)),
    ],
)
def test_fields_that_cannot_be_counted_are_refused(summary: Summarise, asked: SummaryAsk) -> None:
    with pytest.raises(UnknownField, match="These can"):
        summary(asked)


@pytest.mark.parametrize(
    "asked",
    [
        SummaryAsk((FacetAsk("class", 0),)),
        SummaryAsk((FacetAsk("class"),) * 65),
        SummaryAsk((), (HistogramAsk("bytes", 201),)),
        SummaryAsk((), (HistogramAsk("bytes", 4, 5.0, 1.0),)),
        SummaryAsk(similarity_bins=-1),
    ],
)
def test_too_much_is_refused(runtime: Runtime, summary: Summarise, asked: SummaryAsk) -> None:
    fill(runtime)
    with pytest.raises(BadRequest):
        summary(asked)


def test_an_unknown_field_in_a_filter_is_refused_alike(summary: Summarise) -> None:
    with pytest.raises(UnknownField):
        summary(SummaryAsk(), parse_conditions({"where": {"must": [{"key": "x", "match": {"value": "y"}}]}}))
