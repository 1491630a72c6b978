from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.indexer.enrich.vectors.trained import TrainedColours, expected_row, trained_folder, trained_runtime
from tests.indexer.pictures import CATEGORY, add_pictures, id_of, picture
from vitrine.indexer.enrich.vectors.promote import PromoteReport, promote, rollback
from vitrine.indexer.enrich.vectors.reembed import lacks
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.domain import Embedding, Point
from vitrine.services.encoders.batching import BatchedEncoder
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import BadRequest, ModelUnavailable, NotFound, WorseEncoder
from vitrine.services.images.open import content_hash, point_id
from vitrine.services.runtime import Runtime
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByImage

IMAGES = 12


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = trained_runtime(tmp_path / "data")
    add_pictures(made, range(IMAGES))
    TrainedColours.encoded = 0
    yield made
    made.encoders.close()


def lacking(runtime: Runtime, using: str) -> int:
    return runtime.vectors.count(CATEGORY, lacks(using))


def test_a_promotion_embeds_everything_and_switches(runtime: Runtime, tmp_path: Path) -> None:
    report = promote(runtime, CATEGORY, trained_folder(tmp_path / "look"), name="look")
    assert (report.using, report.former, report.switched, report.reused, report.exit_code) == (
        "look-1",
        None,
        True,
        False,
        0,
    )
    assert report.fill.filled == IMAGES
    category = runtime.catalog.get(CATEGORY)
    spec = category.encoder("look")
    assert spec.name == category.encoder().name == "look-1"
    assert spec.model.startswith("store:_encoders/things/look/")
    encoder = runtime.encoders.for_category(spec)
    hit = runtime.searcher.image(CATEGORY, id_of(5), with_vectors=True)
    np.testing.assert_allclose(hit.vectors["look-1"], expected_row(encoder, picture(5)), atol=1e-6)
    found = runtime.searcher.search(CATEGORY, ByImage(picture(5)), SearchOptions("look", limit=1))
    assert (found.hits[0].id, found.encoder.name) == (id_of(5), "look-1")


def test_queries_are_answered_by_the_former_until_nothing_is_lacking(
    runtime: Runtime, tmp_path: Path
) -> None:
    promote(runtime, CATEGORY, trained_folder(tmp_path / "one", 1), name="look")

    answers: list[str] = []

    class Asking:
        def start(self, stage: str, total: int | None) -> None:
            assert total == IMAGES
            self.ask()

        def update(self, report: object) -> None:
            self.ask()

        def finish(self, report: object) -> None:
            self.ask()

        def ask(self) -> None:
            found = runtime.searcher.search(
                CATEGORY, ByImage(picture(3)), SearchOptions("look", limit=IMAGES + 1)
            )
            assert len(found.hits) == IMAGES
            answers.append(found.encoder.name)

    report = promote(runtime, CATEGORY, trained_folder(tmp_path / "two", 2), name="look", progress=Asking())
    assert answers == ["look-1"] * 3
    assert (report.using, report.former) == ("look-2", "look-1")
    assert runtime.catalog.get(CATEGORY).promoted == {"look": ("look-2", "look-1")}


def test_the_default_may_stay(runtime: Runtime, tmp_path: Path) -> None:
    promote(runtime, CATEGORY, trained_folder(tmp_path / "look"), name="look", default=False)
    category = runtime.catalog.get(CATEGORY)
    assert (category.encoder().name, category.encoder("look").name) == ("colour", "look-1")


def test_an_interrupted_promotion_is_continued_by_the_same_call(runtime: Runtime, tmp_path: Path) -> None:
    folder, stop = trained_folder(tmp_path / "look"), threading.Event()
    stop.set()
    report = promote(runtime, CATEGORY, folder, name="look", stop=stop)
    assert not report.switched and report.exit_code == 130 and "not in service yet" in report.summary()
    assert runtime.catalog.get(CATEGORY).promoted == {}
    add_pictures(runtime, range(IMAGES, IMAGES + 2))  # get the vector as they come
    assert lacking(runtime, "look-1") == IMAGES
    TrainedColours.encoded = 0
    again = promote(runtime, CATEGORY, folder, name="look")
    assert (again.using, again.reused, again.switched, again.fill.filled) == ("look-1", True, True, IMAGES)
    assert TrainedColours.encoded == IMAGES
    once_more = promote(runtime, CATEGORY, folder, name="look")
    assert (once_more.using, once_more.fill.filled, once_more.former) == ("look-1", 0, None)


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    "moment", ["objects.put", "vectors.add_vector", "vectors.update_vectors", "catalog.promote"]
)
@pytest.mark.parametrize("written", [False, True])
def test_a_promotion_that_dies_at_any_step_is_completed_by_the_next(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, written: bool
) -> None:
    promote(runtime, CATEGORY, trained_folder(tmp_path / "one", 1), name="look")
    folder = trained_folder(tmp_path / "two", 2)
    part, method = moment.split(".")
    step = getattr(getattr(runtime, part), method)

    def die(*arguments: object, **options: object) -> None:
        if written:
            step(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(getattr(runtime, part), method, die)
        with pytest.raises(Killed):
            promote(runtime, CATEGORY, folder, name="look")
    category = runtime.catalog.get(CATEGORY)
    assert lacking(runtime, category.encoder("look").name) == 0
    assert category.encoder("look").name == ("look-2" if written and method == "promote" else "look-1")
    report = promote(runtime, CATEGORY, folder, name="look")
    assert report.switched and report.using == "look-2"
    assert runtime.catalog.get(CATEGORY).promoted == {"look": ("look-2", "look-1")}
    assert lacking(runtime, "look-2") == 0


def test_rollback_goes_back_and_forth_over_complete_vectors(runtime: Runtime, tmp_path: Path) -> None:
    promote(runtime, CATEGORY, trained_folder(tmp_path / "one", 1), name="look")
    promote(runtime, CATEGORY, trained_folder(tmp_path / "two", 2), name="look")
    add_pictures(runtime, range(IMAGES, IMAGES + 3))
    assert (lacking(runtime, "look-1"), lacking(runtime, "look-2")) == (3, 0)
    report = rollback(runtime, CATEGORY, "look")
    assert (report.using, report.former, report.fill.filled, report.switched) == ("look-1", "look-2", 3, True)
    assert lacking(runtime, "look-1") == 0
    assert runtime.catalog.get(CATEGORY).encoder("look").name == "look-1"
    add_pictures(runtime, range(IMAGES + 3, IMAGES + 4))
    back = rollback(runtime, CATEGORY, "look")
    assert (back.using, back.fill.filled) == ("look-2", 1)
    assert runtime.catalog.get(CATEGORY).promoted == {"look": ("look-2", "look-1")}


@pytest.mark.parametrize("moment", ["vectors.update_vectors", "catalog.promote"])
def test_a_rollback_that_dies_is_completed_by_the_next(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    promote(runtime, CATEGORY, trained_folder(tmp_path / "one", 1), name="look")
    promote(runtime, CATEGORY, trained_folder(tmp_path / "two", 2), name="look")
    add_pictures(runtime, range(IMAGES, IMAGES + 3))
    part, method = moment.split(".")

    def die(*arguments: object, **options: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(getattr(runtime, part), method, die)
        with pytest.raises(Killed):
            rollback(runtime, CATEGORY, "look")
    assert runtime.catalog.get(CATEGORY).encoder("look").name == "look-2"
    assert rollback(runtime, CATEGORY, "look").using == "look-1"
    assert lacking(runtime, "look-1") == 0


def test_a_rollback_leaves_the_default_alone_and_needs_a_former(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no former encoder"):
        rollback(runtime, CATEGORY, "look")
    promote(runtime, CATEGORY, trained_folder(tmp_path / "one", 1), name="look", default=False)
    with pytest.raises(NotFound, match="no former encoder"):
        rollback(runtime, CATEGORY, "look")
    promote(runtime, CATEGORY, trained_folder(tmp_path / "two", 2), name="look", default=False)
    rollback(runtime, CATEGORY, "look")
    assert runtime.catalog.get(CATEGORY).encoder().name == "colour"


def test_the_first_promotion_is_rolled_back_to_what_was_the_default(runtime: Runtime, tmp_path: Path) -> None:
    promote(runtime, CATEGORY, trained_folder(tmp_path / "look"), name="look")
    promote(runtime, CATEGORY, trained_folder(tmp_path / "style", 5), name="style")
    for name, before, after in (
        ("style", "style-1", "look-1"),
        ("look", "look-1", "colour"),
        ("look", "colour", "look-1"),
    ):
        report = rollback(runtime, CATEGORY, name)
        assert (report.former, report.using, report.switched, report.default_only) == (
            before,
            after,
            True,
            True,
        )
        assert runtime.catalog.get(CATEGORY).encoder().name == after
        assert f"answered by {after} now, not by {before}" in report.summary()
        assert report.exit_code == 0
    category = runtime.catalog.get(CATEGORY)
    assert category.promoted == {"look": ("look-1",), "style": ("style-1",)}
    assert category.encoder("style").name == "style-1"


def test_pictures_that_cannot_be_read_are_told_and_do_not_hinder(runtime: Runtime, tmp_path: Path) -> None:
    runtime.objects.delete(str(runtime.searcher.image(CATEGORY, id_of(2)).payload["object_key"]))
    report = promote(runtime, CATEGORY, trained_folder(tmp_path / "look"), name="look")
    assert report.switched and report.exit_code == 3
    assert report.fill.failed == [(id_of(2), "image_missing")]


def test_a_store_without_its_pictures_switches_nothing(runtime: Runtime, tmp_path: Path) -> None:
    for stat in list(runtime.objects.list(f"{CATEGORY}/")):
        runtime.objects.delete(stat.key)
    with pytest.raises(NotFound, match="nothing was switched"):
        promote(runtime, CATEGORY, trained_folder(tmp_path / "look"), name="look")
    assert runtime.catalog.get(CATEGORY).promoted == {}


def test_names_and_folders_that_cannot_be_promoted(runtime: Runtime, tmp_path: Path) -> None:
    folder = trained_folder(tmp_path / "look")
    with pytest.raises(BadRequest, match="itself"):
        promote(runtime, CATEGORY, folder, name="colour")
    with pytest.raises(BadRequest, match="cannot name an encoder"):
        promote(runtime, CATEGORY, folder, name="../up")
    with pytest.raises(ModelUnavailable):
        promote(runtime, CATEGORY, tmp_path, name="look")
    with pytest.raises(NotFound):
        promote(runtime, "nowhere", folder, name="look")
    assert list(runtime.objects.list("_encoders/")) == []


@pytest.mark.parametrize("error", [WorseEncoder("It finds less."), KeyboardInterrupt()])
def test_what_the_check_refuses_leaves_nothing(
    runtime: Runtime, tmp_path: Path, error: BaseException
) -> None:
    def refuse(encoder: BatchedEncoder) -> None:
        assert encoder.spec.name == "look-1"
        raise error

    with pytest.raises(type(error)):
        promote(runtime, CATEGORY, trained_folder(tmp_path / "look"), name="look", check=refuse)
    assert list(runtime.objects.list("_encoders/")) == []
    assert [spec.name for spec in runtime.catalog.get(CATEGORY).encoders] == ["colour"]


def test_numbers_go_on_and_never_meet_another_name(runtime: Runtime, tmp_path: Path) -> None:
    promote(runtime, CATEGORY, trained_folder(tmp_path / "one", 1), name="look-1")  # its vector: look-1-1
    report = promote(runtime, CATEGORY, trained_folder(tmp_path / "two", 2), name="look")
    assert report.using == "look-2"
    assert runtime.catalog.get(CATEGORY).encoder("look-1").name == "look-1-1"


def test_images_that_come_in_while_it_is_filled_are_embedded_before_the_switch(
    runtime: Runtime, tmp_path: Path
) -> None:
    coming = [101, 102]

    class Adding:
        def start(self, stage: str, total: int | None) -> None: ...

        def update(self, report: object) -> None:
            if coming:
                data = picture(coming.pop())
                payload = {
                    "sha256": content_hash(data),
                    "object_key": f"{CATEGORY}/images/{content_hash(data)}",
                }
                runtime.objects.put(payload["object_key"], data)
                row: Embedding = expected_row(ColourEncoder(), data)
                runtime.vectors.upsert(
                    CATEGORY, [Point(point_id(content_hash(data)), {"colour": row}, payload)]
                )

        def finish(self, report: object) -> None: ...

    report = promote(runtime, CATEGORY, trained_folder(tmp_path / "look"), name="look", progress=Adding())
    assert report.switched and report.fill.filled == IMAGES + 2
    assert lacking(runtime, "look-1") == 0


def test_taggers_that_are_left_behind_are_named(runtime: Runtime, tmp_path: Path) -> None:
    promote(runtime, CATEGORY, trained_folder(tmp_path / "one", 1), name="look")
    spec = runtime.catalog.get(CATEGORY).encoder("look")
    weight = np.zeros(spec.dim, np.float32)
    runtime.taggers.save(
        CATEGORY, [TagHead("red", "logistic-regression", spec.name, spec.revision, weight, 0.0)]
    )
    report = promote(runtime, CATEGORY, trained_folder(tmp_path / "two", 2), name="look")
    assert len(report.notes) == 1 and "taggers red" in report.notes[0]


def test_the_report_as_json(runtime: Runtime, tmp_path: Path) -> None:
    report: PromoteReport = promote(runtime, CATEGORY, trained_folder(tmp_path / "look"), name="look")
    tree = report.to_json()
    assert tree["switched"] is True and tree["fill"]["filled"] == IMAGES and tree["alias"] == "look"
    assert "answered by look-1 now" in report.summary()
