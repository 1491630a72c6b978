"""New images are scored as they are indexed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.indexer.enrich.scores.heads import assert_explained, head, stored
from tests.indexer.pictures import CATEGORY, make_runtime, record
from vitrine.indexer.enrich.scores.scoring import score_images
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.job.report import IndexReport
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.category.fields import QUALITY
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.runtime import Runtime


def index(runtime: Runtime, *records: ImageRecord, overwrite: bool = False) -> IndexReport:
    return index_images(records, runtime, CATEGORY, batch_size=4, overwrite=overwrite)


def test_new_images_get_the_scores_of_the_taggers_in_service(runtime: Runtime) -> None:
    saved = runtime.taggers.save(CATEGORY, [head(runtime, "cat", 1), head(runtime, QUALITY, 2)])
    report = index(
        runtime,
        *(record(seed) for seed in range(9)),
        record(9, fields={"quality": 0.9}, scores={"cat": 0.1, "sun": 0.2}),
    )
    assert report.added == 10 and not report.notes
    assert assert_explained(runtime, saved) == 10 + 9
    payload = stored(runtime)["9.png"][0]
    assert (
        payload["quality"] == 0.9
    )  # what people say goes before the tagger, but a tagger before a manifest's score
    assert (
        payload["scored_by"] == {"cat": saved[0].signature, "sun": "manifest"}
        and payload["scores"]["sun"] == 0.2
    )
    assert runtime.catalog.get(CATEGORY).indexes["scores.cat"] == "float"
    again = score_images(runtime, CATEGORY)
    assert again.skipped >= 9  # float16 storage or not, they are by these taggers


def test_a_new_tagger_scores_what_comes_after_it(runtime: Runtime) -> None:
    old = runtime.taggers.save(CATEGORY, [head(runtime, "cat", 1)])
    index(runtime, record(1))
    new = runtime.taggers.save(CATEGORY, [head(runtime, "cat", 2)])
    index(runtime, record(2))
    images = stored(runtime)
    assert images["1.png"][0]["scored_by"] == {"cat": old[0].signature}
    assert images["2.png"][0]["scored_by"] == {"cat": new[0].signature}


def test_known_images_keep_their_scores_and_take_no_manifests_for_a_tag_with_a_tagger(
    runtime: Runtime,
) -> None:
    index(runtime, record(1), record(2))
    saved = runtime.taggers.save(CATEGORY, [head(runtime, "cat"), head(runtime, QUALITY)])
    score_images(runtime, CATEGORY)
    before = stored(runtime)["1.png"][0]
    index(runtime, record(1, scores={"cat": 0.9}, tags=("mine",)), overwrite=True)
    after = stored(runtime)["1.png"][0]
    assert after == before | {"tags": ["mine"]}
    index(runtime, record(2, fields={"quality": 0.25}))
    two = stored(runtime)["2.png"][0]
    assert two["quality"] == 0.25 and two["scored_by"].keys() == {"cat"}
    assert score_images(runtime, CATEGORY).written == 0
    assert assert_explained(runtime, saved) == 3


def test_an_image_that_gets_a_missing_vector_is_scored_by_it(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, ColourEncoder())
    index(runtime, record(1), record(2))
    runtime.catalog.add_encoder(CATEGORY, runtime.encoders.register(ColourEncoder("other", 32)).spec)
    saved = [
        runtime.taggers.save(CATEGORY, [its])[0]
        for its in (head(runtime, "cat", 1, "other"), head(runtime, "dog", 2))
    ]
    report = index(runtime, record(1, scores={"cat": 0.3, "dog": 0.4}))
    assert report.updated == 1
    assert stored(runtime)["1.png"][0]["scored_by"] == {"cat": saved[0].signature}
    assert "scores" not in stored(runtime)["2.png"][0]
    assert assert_explained(runtime, saved) == 1


def test_taggers_on_a_vector_that_was_replaced_are_left_out_with_a_note(tmp_path: Path) -> None:
    runtime = make_runtime(
        tmp_path, ColourEncoder(), ColourEncoder("look-1", 32), ColourEncoder("look-2", 48)
    )
    runtime.catalog.promote(CATEGORY, "look", "look-1")
    runtime.catalog.promote(CATEGORY, "look", "look-2")
    odd = replace(head(runtime, "odd"), encoder_revision="another")
    heads = (head(runtime, "old", 1, "look-1"), head(runtime, "new", 2, "look-2"), odd)
    saved = [runtime.taggers.save(CATEGORY, [its])[0] for its in heads]
    report = index(runtime, record(1), record(2))
    assert report.added == 2 and len(report.notes) == 2
    assert any("look-1" in note and "old" in note for note in report.notes) and any(
        "odd" in note for note in report.notes
    )
    assert all(payload["scores"].keys() == {"new"} for payload, _ in stored(runtime).values())
    assert assert_explained(runtime, saved) == 2


def test_without_taggers_no_payload_says_anything_of_scores(runtime: Runtime) -> None:
    index(runtime, record(1), record(2, scores={"cat": 0.5}))
    images = stored(runtime)
    assert "scores" not in images["1.png"][0]
    assert images["2.png"][0]["scores"] == {"cat": 0.5} and images["2.png"][0]["scored_by"] == {
        "cat": "manifest"
    }


@pytest.mark.parametrize("twins", [2, 3])
def test_twins_in_one_batch_are_scored_once(runtime: Runtime, twins: int) -> None:
    saved = runtime.taggers.save(CATEGORY, [head(runtime, "cat")])
    index(runtime, *(replace(record(1), filename=f"{n}.png", scores={"cat": 0.1}) for n in range(twins)))
    assert assert_explained(runtime, saved) == 1
