"""Scores in bulk, over a store of plain loops."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.indexer.enrich.scores.heads import (
    assert_explained,
    fill,
    head,
    id_of,
    score_by_hand,
    stored,
    unit_rows,
)
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.indexer.enrich.scores.purging import drop_scores, purge_stale
from vitrine.indexer.enrich.scores.scoring import ScoreReport, score_images
from vitrine.services.category.fields import QUALITY
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import BadRequest, NotFound, TaggerMismatch
from vitrine.services.runtime import Runtime

MANIFEST = {"scores": {"cat": 0.11, "other": 0.3}, "scored_by": {"cat": "manifest", "other": "manifest"}}


def test_every_image_gets_the_scores_of_its_vector(runtime: Runtime) -> None:
    fill(runtime, 23, {3: MANIFEST})
    saved = runtime.taggers.save(
        CATEGORY, [head(runtime, "cat", 1), head(runtime, "red mug", 2)], scored=["cat"]
    )
    report = score_images(runtime, CATEGORY, batch=5)
    assert (report.images, report.written, report.skipped, report.without_vector) == (23, 23, 0, 0)
    assert (report.status, report.exit_code, report.tags) == ("complete", 0, ("cat", "red mug"))
    assert assert_explained(runtime, saved, 1e-5) == 46
    payload = stored(runtime)["3.png"][0]
    assert payload["scores"]["other"] == 0.3 and payload["scored_by"]["other"] == "manifest"
    assert all(round(score, 5) == score for score in payload["scores"].values())
    assert runtime.catalog.get(CATEGORY).indexes["scores.cat"] == "float"
    assert runtime.catalog.get(CATEGORY).indexes['scores."red mug"'] == "float"
    assert runtime.taggers.unsettled(CATEGORY) == {}


def test_a_second_run_writes_nothing_and_a_new_tagger_writes_its_own(runtime: Runtime) -> None:
    fill(runtime, 8)
    old = runtime.taggers.save(CATEGORY, [head(runtime, "cat", 1), head(runtime, "dog", 2)])
    score_images(runtime, CATEGORY)
    again = score_images(runtime, CATEGORY)
    assert (again.written, again.skipped) == (0, 8)
    new = runtime.taggers.save(CATEGORY, [head(runtime, "cat", 3)])
    assert runtime.taggers.unsettled(CATEGORY) == {"cat": new[0].signature}
    assert score_images(runtime, CATEGORY, ["cat"]).written == 8
    assert assert_explained(runtime, [*new, old[1]]) == 16
    assert runtime.taggers.unsettled(CATEGORY) == {}


def test_images_without_the_vector_lose_scores_that_nobody_can_renew(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, ColourEncoder(), ColourEncoder("other", 32))
    fill(runtime, 4)
    rows = unit_rows(2, runtime.catalog.get(CATEGORY).encoder("other").dim, seed=3)
    runtime.vectors.update_vectors(CATEGORY, [id_of(0), id_of(1)], "other", rows)
    runtime.vectors.set_payload(CATEGORY, {id_of(1): MANIFEST, id_of(2): MANIFEST})
    saved = runtime.taggers.save(CATEGORY, [head(runtime, "cat", 1, "other")], scored=["cat"])
    saved += runtime.taggers.save(CATEGORY, [head(runtime, "dog", 2)])
    report = score_images(runtime, CATEGORY)
    assert report.without_vector == 2
    assert assert_explained(runtime, saved) == 4 + 2
    assert stored(runtime)["2.png"][0]["scores"].keys() == {"other", "dog"}


def test_a_quality_that_people_set_is_kept(runtime: Runtime) -> None:
    fill(runtime, 3, {0: {"quality": 0.9}, 1: {"quality": 0.2, "scored_by": {"quality": "older@2020"}}})
    (quality,) = runtime.taggers.save(CATEGORY, [head(runtime, QUALITY)], scored=[QUALITY])
    assert score_images(runtime, CATEGORY, propose=True).written == 2
    images = stored(runtime)
    assert images["0.png"][0]["quality"] == 0.9 and "scored_by" not in images["0.png"][0]
    for name in ("1.png", "2.png"):
        payload, vectors = images[name]
        assert payload["quality"] == pytest.approx(score_by_hand(quality, vectors["colour"]), abs=1e-5)
        assert payload["scored_by"] == {"quality": quality.signature} and "machine_tags" not in payload
    assert score_images(runtime, CATEGORY).written == 0


def test_proposals_stay_apart_from_what_people_said_and_follow_the_scores(runtime: Runtime) -> None:
    fill(
        runtime,
        30,
        {0: {"tags": ["cat"]}, 1: {"rejected_tags": ["cat"]}, 2: {"machine_tags": ["else"], "tags": ["x"]}},
    )
    runtime.taggers.save(CATEGORY, [head(runtime, "cat", 1, threshold=0.6)])
    score_images(runtime, CATEGORY)
    assert not any("cat" in payload.get("machine_tags", ()) for payload, _ in stored(runtime).values())
    assert score_images(runtime, CATEGORY, propose=True).written == proposed(runtime, 0.6)
    score_images(runtime, CATEGORY, threshold=0.0)
    assert proposed(runtime, 0.0) == 28
    assert stored(runtime)["2.png"][0]["machine_tags"] == ["else", "cat"] and stored(runtime)["2.png"][0][
        "tags"
    ] == ["x"]
    runtime.taggers.save(CATEGORY, [head(runtime, "cat", 5, threshold=0.7)])
    score_images(runtime, CATEGORY)  # nothing new is proposed, but what the new tagger does not support goes
    assert 0 < proposed(runtime, 0.7) < 28
    assert runtime.catalog.get(CATEGORY).indexes["machine_tags"] == "keyword"


def proposed(runtime: Runtime, threshold: float) -> int:
    """How many images have the tag proposed: exactly those with the score, and of which people said
    nothing."""
    images = stored(runtime)
    for name, (payload, _) in images.items():
        expected = payload["scores"]["cat"] >= threshold and name not in ("0.png", "1.png")
        assert ("cat" in payload.get("machine_tags", ())) == expected, name
    return sum("cat" in payload.get("machine_tags", ()) for payload, _ in images.values())


def test_taggers_that_no_longer_fit_are_refused_by_name_and_passed_over_otherwise(runtime: Runtime) -> None:
    fill(runtime, 3)
    gone = replace(head(runtime, "gone"), using="clip")
    older = replace(head(runtime, "older"), encoder_revision="another")
    runtime.taggers.save(CATEGORY, [gone, older, head(runtime, "cat")])
    report = score_images(runtime, CATEGORY)
    assert report.tags == ("cat",) and len(report.notes) == 2
    for tag in ("gone", "older"):
        with pytest.raises(TaggerMismatch, match="train it again"):
            score_images(runtime, CATEGORY, [tag])
    with pytest.raises(NotFound):
        score_images(runtime, CATEGORY, ["dog"])
    with pytest.raises(BadRequest):
        score_images(runtime, CATEGORY, threshold=1.5)


def test_without_taggers_there_is_nothing_to_do(runtime: Runtime) -> None:
    report = score_images(runtime, CATEGORY)
    assert report.images == 0 and "no tagger" in report.notes[0]


class Stopper:
    """Sets ``stop`` after so many pages."""

    def __init__(self, pages: int) -> None:
        self.stop, self.pages, self.totals = threading.Event(), pages, list[int | None]()

    def start(self, stage: str, total: int | None) -> None:
        self.totals.append(total)

    def update(self, report: object) -> None:
        self.pages -= 1
        if self.pages == 0:
            self.stop.set()

    def finish(self, report: object) -> None: ...


def test_a_stopped_run_settles_nothing_and_the_next_one_goes_on(runtime: Runtime) -> None:
    fill(runtime, 20, {n: MANIFEST for n in range(20)})
    saved = runtime.taggers.save(CATEGORY, [head(runtime, "cat")], scored=["cat"])
    stopper = Stopper(2)
    report = score_images(runtime, CATEGORY, batch=4, progress=stopper, stop=stopper.stop)
    assert (report.status, report.exit_code, report.written, stopper.totals) == ("interrupted", 130, 8, [20])
    assert runtime.taggers.unsettled(CATEGORY) and assert_explained(runtime, saved) == 8
    report = score_images(runtime, CATEGORY, batch=4)
    assert (report.written, report.skipped) == (12, 8)
    assert not runtime.taggers.unsettled(CATEGORY)


def test_a_tagger_that_is_trained_again_meanwhile_is_not_written_over(runtime: Runtime) -> None:
    fill(runtime, 20)
    runtime.taggers.save(CATEGORY, [head(runtime, "cat", 1)])
    (new,) = saved = [head(runtime, "cat", 2)]

    class Trainer(Stopper):
        def update(self, report: object) -> None:
            if self.pages:
                self.pages, saved[:] = 0, runtime.taggers.save(CATEGORY, [new])

    report = score_images(runtime, CATEGORY, batch=4, progress=Trainer(1))
    assert report.written == 4 and "Replaced" in report.notes[0]
    assert runtime.taggers.unsettled(CATEGORY) == {"cat": saved[0].signature}
    score_images(runtime, CATEGORY)
    assert assert_explained(runtime, saved) == 20


def test_edits_made_meanwhile_are_kept(runtime: Runtime) -> None:
    from vitrine.services.category.editor import ImageChanges

    fill(runtime, 200)
    runtime.taggers.save(CATEGORY, [head(runtime, "cat")])
    ids = [id_of(n) for n in range(200)]
    edits = [
        threading.Thread(
            target=runtime.editor.change, args=(CATEGORY, [id], ImageChanges(add_tags=("mine",)))
        )
        for id in ids
    ]
    scoring = threading.Thread(
        target=score_images, args=(runtime, CATEGORY), kwargs={"propose": True, "batch": 3}
    )
    for thread in (*edits[:100], scoring, *edits[100:]):
        thread.start()
    for thread in (*edits, scoring):
        thread.join()
    assert all(
        payload["tags"] == ["mine"] and "cat" in payload["scores"] for payload, _ in stored(runtime).values()
    )


def test_stale_scores_go_and_a_manifests_stay_where_there_is_no_tagger(runtime: Runtime) -> None:
    mixed = {
        "scores": {"cat": 0.1, "dog": 0.2, "sun": 0.3, "deleted": 0.4},
        "scored_by": {
            "cat": "manifest",
            "dog": "by-hand@2020",
            "sun": "manifest",
            "deleted": "by-hand@2021",
            "quality": "q@1",
        },
        "quality": 0.5,
        "machine_tags": ["dog", "deleted", "orphan", "kept"],
    }
    fill(
        runtime, 4, {0: mixed, 1: {"quality": 0.7}, 2: {"scores": {"cat": 0.5}, "scored_by": {"cat": "a@b"}}}
    )
    _, dog = runtime.taggers.save(
        CATEGORY, [head(runtime, "cat"), head(runtime, "dog")], scored=["cat", "dog"]
    )
    runtime.vectors.set_payload(
        CATEGORY, {id_of(3): {"scores": {"dog": 0.9}, "scored_by": {"dog": dog.signature}}}
    )
    assert purge_stale(runtime, CATEGORY, ["cat"]) == 2
    assert runtime.taggers.unsettled(CATEGORY) == {"dog": dog.signature}
    assert purge_stale(runtime, CATEGORY) == 1
    images = {name: payload for name, (payload, _) in stored(runtime).items()}
    assert images["0.png"] == {
        "filename": "0.png", "scores": {"sun": 0.3}, "scored_by": {"sun": "manifest"}, "machine_tags": [],
    }  # fmt: skip
    assert images["1.png"]["quality"] == 0.7 and "scores" not in images["2.png"]
    assert images["3.png"]["scores"] == {"dog": 0.9}
    assert runtime.taggers.unsettled(CATEGORY) == {} and purge_stale(runtime, CATEGORY) == 0


def test_the_scores_of_a_tagger_that_is_to_be_deleted_go(runtime: Runtime) -> None:
    fill(runtime, 6)
    runtime.taggers.save(CATEGORY, [head(runtime, "cat"), head(runtime, QUALITY)])
    score_images(runtime, CATEGORY, threshold=0)
    runtime.vectors.set_payload(
        CATEGORY, {id_of(0): {"scores": {"cat": 0.5}, "scored_by": {"cat": "manifest"}, "machine_tags": []}}
    )
    assert drop_scores(runtime, CATEGORY, "cat") == 5
    images = stored(runtime)
    assert images["0.png"][0]["scores"] == {"cat": 0.5}
    assert not any(
        "cat" in p.get("scores", ()) or p.get("machine_tags")
        for name, (p, _) in images.items()
        if name != "0.png"
    )
    assert drop_scores(runtime, CATEGORY, QUALITY) == 5
    assert not any(
        "quality" in payload
        for payload, _ in stored(runtime).values()
        if "cat" not in payload.get("scores", ())
    )


def test_the_report_as_json() -> None:
    report = ScoreReport("things", ("cat",), images=10, written=7, skipped=3, seconds=2.0, notes=["a note"])
    assert report.to_json() == {
        "category": "things", "status": "complete", "tags": ["cat"], "images": 10, "written": 7, "skipped": 3,
        "without_vector": 0, "seconds": 2.0, "images_per_second": 5.0, "notes": ["a note"],
    }  # fmt: skip
    assert "7 written" in report.summary() and "a note" in report.summary()
