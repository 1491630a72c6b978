"""The labelling loop over a store of plain loops. The pictures of even number are ``warm`` by
construction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.filters import Conditions, NumberRange
from vitrine.services.domain import Embeddings, EncoderSpec, Point, Preprocessing
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import BadRequest, NotFound, TaggerMismatch, TooFewExamples
from vitrine.services.images.open import point_id
from vitrine.services.runtime import Runtime
from vitrine.services.taggers.labelling import (
    MAX_SHOWN,
    count_labels,
    ranking,
    record,
    refit,
    spread,
    uncertain,
)

COUNT, DIM, TAG = 60, 8, "warm weather"
TOY = EncoderSpec("toy", "org/toy", "r1", DIM, ("image",), Preprocessing(8, None, (0, 0, 0), (1, 1, 1)))
IDS = [point_id(f"{number:064x}") for number in range(COUNT)]
WARM = set(IDS[::2])


def vectors(count: int = COUNT, seed: int = 3) -> Embeddings:
    rows = np.random.default_rng(seed).standard_normal((count, DIM))
    rows[::2, 0] += 2.5
    rows[1::2, 0] -= 2.5
    unit: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = make_runtime(tmp_path, ColourEncoder())
    made.catalog.create("c", [TOY])
    made.vectors.upsert(
        "c", [Point(id, {"toy": row}, {"tags": ["flat"]}) for id, row in zip(IDS, vectors(), strict=True)]
    )
    yield made
    made.encoders.close()


def head(first: float = 5.0, bias: float = 0.0, **changed: object) -> TagHead:
    weight = np.zeros(DIM, np.float32)
    weight[0] = first
    fields = {
        "tag": TAG,
        "kind": "by-hand",
        "using": "toy",
        "encoder_revision": "r1",
        "weight": weight,
        "bias": bias,
        **changed,
    }
    return TagHead(**fields)  # type: ignore[arg-type]


def payload(runtime: Runtime, id: str) -> dict[str, object]:
    hit = runtime.vectors.retrieve("c", [id])[0]
    assert hit is not None
    return hit.payload


def judge(runtime: Runtime, ids: list[str]) -> None:
    record(runtime, "c", TAG, [id for id in ids if id in WARM], [id for id in ids if id not in WARM])


def test_what_people_say_is_written_and_can_be_taken_back(runtime: Runtime) -> None:
    runtime.vectors.set_payload("c", {IDS[1]: {"tags": ["flat", TAG], "machine_tags": [TAG, "x"]}})
    counts = record(runtime, "c", TAG, accept=[IDS[0]], reject=[IDS[1]]).counts
    assert (counts.accepted, counts.rejected) == (1, 1)
    assert payload(runtime, IDS[0])["tags"] == ["flat", TAG] and "rejected_tags" not in payload(
        runtime, IDS[0]
    )
    assert payload(runtime, IDS[1]) == {"tags": ["flat"], "rejected_tags": [TAG], "machine_tags": ["x"]}
    again = record(runtime, "c", TAG, [IDS[0]], [IDS[1]])
    assert (again.counts, again.undo) == (counts, None)
    counts = record(runtime, "c", TAG, accept=[IDS[1]]).counts
    assert (counts.accepted, counts.rejected) == (2, 0)
    assert (
        payload(runtime, IDS[1])["tags"] == ["flat", TAG] and payload(runtime, IDS[1])["rejected_tags"] == []
    )


def test_nothing_is_recorded_if_one_image_is_unknown_or_on_both_sides(runtime: Runtime) -> None:
    with pytest.raises(NotFound):
        record(runtime, "c", TAG, [IDS[0]], [point_id("f" * 64)])
    with pytest.raises(BadRequest):
        record(runtime, "c", TAG, [IDS[0]], [IDS[1], IDS[0]])
    with pytest.raises(BadRequest):
        record(runtime, "c", "quality", [IDS[0]])
    with pytest.raises(BadRequest):
        record(runtime, "c", " ", [IDS[0]])
    assert (
        count_labels(runtime, "c", TAG).accepted == 0
        and "rejected_tags" not in runtime.catalog.get("c").indexes
    )


def test_the_least_certain_come_first_and_the_judged_are_left_out(runtime: Runtime) -> None:
    runtime.taggers.save("c", [head()])
    found = uncertain(runtime, "c", TAG, 5)
    margins = {id: abs(float(row[0])) for id, row in zip(IDS, vectors(), strict=True)}
    nearest = sorted(margins, key=lambda id: margins[id])
    assert found[0].hit.id == nearest[0] and {one.hit.id for one in found} <= set(nearest[:25])
    expected = 1 / (1 + np.exp(-5 * vectors()[IDS.index(nearest[0]), 0]))
    assert found[0].score == pytest.approx(expected, abs=1e-5)
    assert found[0].hit.payload["tags"] == ["flat"] and not found[0].hit.vectors
    judge(runtime, [one.hit.id for one in found[:3]])
    again = uncertain(runtime, "c", TAG, 5, exclude=[found[3].hit.id])
    assert not {one.hit.id for one in found[:4]} & {one.hit.id for one in again}


def test_look_alikes_are_shown_once(runtime: Runtime) -> None:
    """Thirty copies at the very boundary, and the rest further off: one of the copies, and four others."""
    copy = np.eye(DIM, dtype=np.float32)[1]
    ids = [point_id(f"{1000 + number:064x}") for number in range(20)]
    runtime.vectors.upsert("c", [Point(id, {"toy": copy}, {}) for id in ids])
    runtime.taggers.save("c", [head()])
    found = [one.hit.id for one in uncertain(runtime, "c", TAG, 5)]
    assert len(found) == 5 and len(set(found) & set(ids)) == 1


def test_far_from_the_boundary_images_are_still_told_apart(runtime: Runtime) -> None:
    """Margins of 1000 are scores of exactly 1 in float32; the order must not be lost."""
    runtime.taggers.save("c", [head(first=100.0, bias=1_000.0)])
    lowest = min(zip(IDS, vectors(), strict=True), key=lambda pair: float(pair[1][0]))[0]
    assert uncertain(runtime, "c", TAG, 1)[0].hit.id == lowest


def test_without_a_tagger_it_begins_near_the_accepted_images(runtime: Runtime) -> None:
    with pytest.raises(TooFewExamples, match="tag a few images first"):
        uncertain(runtime, "c", TAG, 5)
    record(runtime, "c", TAG, accept=IDS[0:6:2])
    found = uncertain(runtime, "c", TAG, 4)
    assert len(found) == 4 and all(one.score is None and one.hit.similarity is not None for one in found)
    assert not {one.hit.id for one in found} & set(IDS[0:6:2])
    assert sum(one.hit.id in WARM for one in found) >= 2


def test_a_loop_from_three_images_to_a_tagger_that_ranks(runtime: Runtime) -> None:
    record(runtime, "c", TAG, accept=IDS[0:6:2])
    with pytest.raises(TooFewExamples) as caught:
        refit(runtime, "c", TAG)
    assert caught.value.details == {"accepted": 3, "rejected": 0}
    record(runtime, "c", TAG, reject=[IDS[1], IDS[3]])
    for _ in range(3):
        done = refit(runtime, "c", TAG)
        judge(runtime, [one.hit.id for one in uncertain(runtime, "c", TAG, 6)])
    done = refit(runtime, "c", TAG)
    assert (
        done.head == runtime.taggers.get("c", TAG)
        or done.head.signature == runtime.taggers.get("c", TAG).signature
    )
    assert len(runtime.taggers.history("c", TAG)) == 4
    best = ranking(runtime, "c", done.head, len(WARM))
    assert sum(one.hit.id in WARM for one in best) >= len(WARM) - 3
    scores = [one.score or 0 for one in best]
    assert scores == sorted(scores, reverse=True)
    everything = done.head.scores(vectors())
    assert scores[0] == pytest.approx(float(everything.max()), abs=1e-5)
    fresh = ranking(runtime, "c", done.head, 20, labelled=False)
    assert all(
        TAG not in one.hit.payload["tags"] and TAG not in one.hit.payload.get("rejected_tags", [])
        for one in fresh
    )


def test_training_again_on_the_same_judgements_gives_the_same_head(runtime: Runtime) -> None:
    judge(runtime, IDS[:12])
    first, second = refit(runtime, "c", TAG).head, refit(runtime, "c", TAG).head
    assert np.allclose(first.weight, second.weight) and first.fingerprint == second.fingerprint
    assert first.number < second.number


def test_scores_of_the_tag_that_are_there_become_stale(runtime: Runtime) -> None:
    judge(runtime, IDS[:12])
    assert TAG not in runtime.taggers.unsettled("c")
    refit(runtime, "c", TAG)
    assert TAG not in runtime.taggers.unsettled("c")  # no image has a score of it
    runtime.catalog.ensure_indexes("c", {f'scores."{TAG}"': "float"})
    done = refit(runtime, "c", TAG)
    assert runtime.taggers.unsettled("c")[TAG] == done.head.signature


def test_a_tagger_of_another_revision_is_refused_and_trained_again(runtime: Runtime) -> None:
    runtime.taggers.save("c", [head(encoder_revision="r0")])
    with pytest.raises(TaggerMismatch):
        uncertain(runtime, "c", TAG, 5)
    with pytest.raises(TaggerMismatch):
        ranking(runtime, "c", runtime.taggers.get("c", TAG), 5)
    judge(runtime, IDS[:12])
    assert refit(runtime, "c", TAG).head.encoder_revision == "r1"
    assert len(uncertain(runtime, "c", TAG, 5)) == 5


def test_images_without_the_vector_are_passed_over(runtime: Runtime) -> None:
    bare = [point_id(f"{2000 + number:064x}") for number in range(4)]
    runtime.vectors.upsert("c", [Point(id, {}, {"tags": [TAG]}) for id in bare])
    with pytest.raises(TooFewExamples):
        uncertain(runtime, "c", TAG, 3)
    with pytest.raises(TooFewExamples):
        refit(runtime, "c", TAG)
    runtime.taggers.save("c", [head()])
    assert len(uncertain(runtime, "c", TAG, 3)) == 3


def test_limits_and_names(runtime: Runtime) -> None:
    runtime.taggers.save("c", [head()])
    for limit in (0, -1, MAX_SHOWN + 1):
        with pytest.raises(BadRequest):
            uncertain(runtime, "c", TAG, limit)
        with pytest.raises(BadRequest):
            ranking(runtime, "c", head(), limit)
    with pytest.raises(NotFound):
        uncertain(runtime, "nothing", TAG, 3)
    assert len(uncertain(runtime, "c", TAG, MAX_SHOWN)) == COUNT
    judge(runtime, IDS)
    assert uncertain(runtime, "c", TAG, 3) == []


def test_spread_takes_the_first_and_then_the_farthest() -> None:
    rows = vectors(30, seed=9)
    chosen = spread(rows, 6)
    assert chosen[0] == 0 and len(set(chosen)) == 6
    for position in range(1, 6):  # by plain loops
        closest = {
            row: max(float(rows[row] @ rows[taken]) for taken in chosen[:position])
            for row in range(30)
            if row not in chosen[:position]
        }
        assert closest[chosen[position]] == pytest.approx(min(closest.values()), abs=1e-6)
    assert spread(rows[:2], 6) == [0, 1] and spread(rows[:0], 6) == []


def test_rejected_tags_go_and_come_with_other_edits(runtime: Runtime) -> None:
    from vitrine.services.category.editor import ImageChanges

    change = runtime.editor.change
    change("c", [IDS[0]], ImageChanges(reject_tags=("flat", "wet")))
    assert payload(runtime, IDS[0]) == {"tags": [], "rejected_tags": ["flat", "wet"]}
    change("c", [IDS[0]], ImageChanges(tags=("wet",)))
    assert payload(runtime, IDS[0]) == {"tags": ["wet"], "rejected_tags": ["flat"]}
    change("c", [IDS[0]], ImageChanges(rejected_tags=()))
    assert payload(runtime, IDS[0])["rejected_tags"] == []
    with pytest.raises(BadRequest, match="both given and rejected"):
        change("c", [IDS[0]], ImageChanges(add_tags=("a",), reject_tags=("a",)))


def test_a_quality_that_a_person_gives_is_no_taggers_any_more(runtime: Runtime) -> None:
    from vitrine.services.category.editor import ImageChanges

    runtime.vectors.set_payload(
        "c", {IDS[0]: {"quality": 0.4, "scored_by": {"quality": "x@1", "warm": "y@1"}}}
    )
    runtime.editor.change("c", [IDS[0]], ImageChanges(quality=0.9))
    assert payload(runtime, IDS[0])["scored_by"] == {"warm": "y@1"}
    runtime.vectors.set_payload("c", {IDS[1]: {"quality": 0.4, "scored_by": {"quality": "x@1"}}})
    runtime.editor.change("c", [IDS[1]], ImageChanges.model_validate({"quality": None}))
    assert "quality" not in payload(runtime, IDS[1]) and not payload(runtime, IDS[1])["scored_by"]


def test_score_ranges_of_several_tags_still_read_well(runtime: Runtime) -> None:
    assert CATEGORY != "c"
    runtime.catalog.ensure_indexes("c", {"scores.a": "float", 'scores."b c"': "float"})
    runtime.vectors.set_payload(
        "c", {IDS[0]: {"scores": {"a": 0.9, "b c": 0.2}}, IDS[1]: {"scores": {"a": 0.8, "b c": 0.7}}}
    )
    both = Conditions(scores={"a": NumberRange(gte=0.5), "b c": NumberRange(gte=0.5)})
    assert [hit.id for hit in runtime.searcher.listing("c", both).hits] == [IDS[1]]


def test_of_a_large_category_a_sample_and_the_highest_scored_are_looked_at(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One image near the boundary, last in order of id: the sample misses it, the highest scored have it."""
    monkeypatch.setattr("vitrine.services.taggers.labelling.MAX_SCANNED", 10)
    monkeypatch.setattr("vitrine.services.taggers.labelling._HIGHEST", 5)
    last, low = max(IDS), np.zeros(DIM, np.float32)
    low[0] = -1
    runtime.vectors.update_vectors("c", IDS, "toy", np.repeat(low[None], COUNT, axis=0))
    near = np.eye(DIM, dtype=np.float32)[1][None]
    runtime.vectors.update_vectors("c", [last], "toy", near)
    runtime.taggers.save("c", [head()])
    found = [one.hit.id for one in uncertain(runtime, "c", TAG, 4)]
    assert found[0] == last and len(found) == len(set(found))


def test_every_tenth_is_one_that_the_tagger_is_sure_of(runtime: Runtime) -> None:
    runtime.taggers.save("c", [head()])
    found = uncertain(runtime, "c", TAG, 20)
    assert len({one.hit.id for one in found}) == 20
    others = sorted(set(IDS) - {one.hit.id for one in found[:18]})[:2]
    assert [one.hit.id for one in found[18:]] == others  # the first in order of id that were not chosen
    assert all(one.score is not None for one in found)
    judge(runtime, others)
    assert not set(others) & {one.hit.id for one in uncertain(runtime, "c", TAG, 20)}
    record(runtime, "c", "new", accept=[IDS[0]])
    begun = uncertain(runtime, "c", "new", 10)
    assert len(begun) == 10 and [one.hit.similarity is None for one in begun] == [False] * 9 + [True]
