"""A healthy store is left alone; each fault is found under its code, and what can be repaired is."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.api.helpers import COLOURS, picture, settings_in
from vitrine.indexer.check import look
from vitrine.indexer.check.rebuild import rebuild_category
from vitrine.indexer.check.run import check_categories
from vitrine.indexer.enrich.metadata.annotate import annotate
from vitrine.indexer.enrich.scores.purging import delete_tagger
from vitrine.indexer.enrich.scores.scoring import score_images
from vitrine.indexer.enrich.vectors.reembed import fill_category
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.editor import ImageChanges
from vitrine.services.domain import Payload
from vitrine.services.runtime import Runtime, open_runtime

SHOP, OTHER = "shop", "other"


@pytest.fixture(autouse=True)
def _nobody_else_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So there is nothing to wait for."""
    monkeypatch.setattr(look, "SETTLED_SECONDS", 0.0)


@contextmanager
def opened(data: Path) -> Iterator[Runtime]:
    with open_runtime(settings_in(data)) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories of five pictures, with tags from indexing, and of one of them edits; closed."""
    data = tmp_path_factory.mktemp("filled") / "data"
    with opened(data) as runtime:
        for name in (SHOP, OTHER):
            runtime.create_category(name)
            records = [
                ImageRecord("pictures", f"{colour}.png", lambda rgb=rgb: picture(rgb), tags=(colour, "new"))
                for colour, rgb in COLOURS.items()
            ]
            assert index_images(records, runtime, name).added == len(COLOURS)
        red, green = (of(runtime, name) for name in ("red", "green"))
        runtime.editor.change(
            SHOP, [red], ImageChanges(add_tags=("mug",), class_="cup", metadata={"year": 1990})
        )
        runtime.editor.change(SHOP, [red], ImageChanges(reject_tags=("new",)))
        runtime.editor.delete(SHOP, [green])
    return data


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "data")


def of(runtime: Runtime, colour: str) -> str:
    hits = runtime.vectors.scroll(SHOP).hits
    return next(hit.id for hit in hits if hit.payload["filename"] == f"{colour}.png")


def said(runtime: Runtime) -> dict[str, Payload]:
    """What there is of each image by its name, but for when it was indexed."""
    found = {hit.payload["filename"]: dict(hit.payload) for hit in runtime.vectors.scroll(SHOP).hits}
    return {name: {k: v for k, v in payload.items() if k != "indexed_at"} for name, payload in found.items()}


def codes(runtime: Runtime, *, deep: bool = True, mend: bool = False) -> dict[str, bool]:
    report = check_categories(runtime, deep=deep, mend=mend)
    assert report.error is None
    assert not [each for each in report.findings if each.category == OTHER]
    return {each.code: each.repaired for each in report.findings}


def test_nothing_is_wrong_with_a_healthy_store(data: Path) -> None:
    with opened(data) as runtime:
        report = check_categories(runtime, deep=True)
        assert (report.findings, report.exit_code, report.images) == ([], 0, 2 * len(COLOURS) - 1)


def test_lost_points_come_back_with_what_people_said(data: Path) -> None:
    with opened(data) as runtime:
        before, red = said(runtime), of(runtime, "red")
        runtime.vectors.delete(SHOP, [red])
        assert codes(runtime) == {"object_without_point": False, "count_wrong": False}
        assert codes(runtime, mend=True) == {"object_without_point": True, "count_wrong": True}
        assert said(runtime) == before
        assert codes(runtime) == {}


def test_pictures_that_are_gone_or_changed_are_named(data: Path) -> None:
    with opened(data) as runtime:
        payloads = said(runtime)
        runtime.objects.delete(payloads["red.png"]["object_key"])
        runtime.objects.put(payloads["blue.png"]["object_key"], b"something else")
        found = check_categories(runtime, deep=True)
        assert {each.code for each in found.findings} == {"object_missing", "object_damaged"}
        assert found.exit_code == 3
        assert "object_damaged" not in codes(runtime, deep=False)


def test_damage_of_what_is_around_the_images_is_repaired(data: Path) -> None:
    with opened(data) as runtime:
        runtime.catalog.set_images(SHOP, 400)
        for key in runtime.journal.segments(SHOP):
            runtime.objects.put(key, b"{}\nnot a line")
        assert codes(runtime, mend=True) == {"count_wrong": True, "journal_damaged": True}
        before = said(runtime)
        rebuild_category(runtime, SHOP)
        assert said(runtime)["red.png"]["tags"] == before["red.png"]["tags"]


def test_a_category_is_made_again_from_its_pictures_and_its_journal(data: Path) -> None:
    with opened(data) as runtime:
        before = said(runtime)
    (data / "vectors/collections/shop/collection.json").write_bytes(b"")
    with opened(data) as runtime:
        assert codes(runtime) == {"collection_damaged": False}
        report = rebuild_category(runtime, SHOP)
        assert (report.error, report.added) == (None, len(COLOURS) - 1)
        assert said(runtime) == before
        assert codes(runtime) == {}
        assert runtime.catalog.damaged() == {}


def test_an_interrupted_rebuild_loses_nothing_of_what_people_said(data: Path) -> None:
    with opened(data) as runtime:
        before = said(runtime)
        ended = threading.Event()
        ended.set()
        rebuild_category(runtime, SHOP, stop=ended)  # the collection is gone, and nothing is indexed yet
        index_images(
            [ImageRecord("again", "red.png", lambda: picture(COLOURS["red"]))], runtime, SHOP
        )  # as far as a kill would have let it come
        assert rebuild_category(runtime, SHOP).error is None
        assert said(runtime)["red.png"]["rejected_tags"] == before["red.png"]["rejected_tags"]
        assert said(runtime)["red.png"]["class"] == "cup"


def test_what_is_edited_while_it_is_made_again_stays(data: Path) -> None:
    with opened(data) as runtime:
        blue = of(runtime, "blue")

        class Editing:
            """A progress that edits an image when it is told that all are indexed."""

            def start(self, stage: str, total: int | None) -> None: ...
            def update(self, report: object) -> None: ...
            def say(self, text: str) -> None: ...
            def finish(self, report: object) -> None:
                runtime.editor.change(SHOP, [blue], ImageChanges(tags=("mine",)))

        rebuild_category(runtime, SHOP, progress=Editing())
        assert said(runtime)["blue.png"]["tags"] == ["mine"]
        rebuild_category(runtime, SHOP)
        assert said(runtime)["blue.png"]["tags"] == ["mine"]


def test_the_original_mends_a_picture_that_was_cut_short(data: Path) -> None:
    file = next((data / "objects/shop/images").rglob("*.png"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    with opened(data) as runtime:
        records = [
            ImageRecord("pictures", f"{n}.png", lambda rgb=rgb: picture(rgb)) for n, rgb in COLOURS.items()
        ]
        index_images([record for record in records if record.filename != "green.png"], runtime, SHOP)
        assert file.read_bytes() == whole
        assert "object_damaged" not in codes(runtime)


def test_a_manifest_comes_back_from_its_copy(data: Path) -> None:
    manifest = data / "objects/_categories/shop.json"
    manifest.write_bytes(b"")
    with opened(data) as runtime:
        before = said(runtime)
        assert codes(runtime) == {"manifest_damaged": False}
        assert codes(runtime, mend=True)["manifest_damaged"]
        assert codes(runtime) == {} and said(runtime) == before
        assert runtime.catalog.get(SHOP).images == len(COLOURS) - 1
    manifest.unlink()
    with opened(data) as runtime:
        assert codes(runtime) == {"leftover_category": False}
        assert codes(runtime, mend=True)["leftover_category"]
        assert codes(runtime) == {}


def test_scores_of_a_table_come_back_unless_a_tagger_took_their_place(data: Path, tmp_path: Path) -> None:
    def scores(runtime: Runtime) -> dict[str, float]:
        return dict(said(runtime)["red.png"].get("scores", {}))

    with opened(data) as runtime:
        record = ImageRecord(
            "pictures", "red.png", lambda: picture(COLOURS["red"]), scores={"mug": 0.25, "cup": 0.5}
        )
        assert index_images([record], runtime, SHOP).updated == 1
        assert codes(runtime) == {}
        rebuild_category(runtime, SHOP)
        assert scores(runtime) == {"mug": 0.25, "cup": 0.5} and codes(runtime) == {}
        (tmp_path / "scores.csv").write_text("filename,scores.cup\nred.png,0.75\n")
        noted = annotate(runtime, SHOP, tmp_path / "scores.csv")
        assert noted.updated == 1
        assert codes(runtime) == {}
        rebuild_category(runtime, SHOP)
        assert scores(runtime) == {"mug": 0.25, "cup": 0.75}
        runtime.editor.undo(noted.undo.token)
        assert scores(runtime) == {"mug": 0.25, "cup": 0.5} and codes(runtime) == {}

        spec = runtime.catalog.get(SHOP).encoder()
        weight = np.ones(spec.dim, np.float32)
        runtime.taggers.save(SHOP, [TagHead("mug", "by-hand", spec.name, spec.revision, weight, 0.0)])
        rebuild_category(runtime, SHOP)  # with a tagger in service by which nothing was scored yet
        assert scores(runtime)["mug"] != 0.25 and codes(runtime) == {}
        score_images(runtime, SHOP)
        tagged = scores(runtime)
        assert tagged["cup"] == 0.5 and tagged["mug"] != 0.25 and codes(runtime) == {}
        rebuild_category(runtime, SHOP)
        assert scores(runtime) == pytest.approx(tagged, abs=1e-3) and codes(runtime) == {}
        delete_tagger(runtime, SHOP, "mug")
        assert scores(runtime) == {"cup": 0.5} and codes(runtime) == {}
        rebuild_category(runtime, SHOP)
        assert scores(runtime) == {"cup": 0.5} and codes(runtime) == {}


def test_a_score_by_a_tagger_on_a_vector_that_is_filled_takes_the_place_of_a_table_s(
    data: Path,
) -> None:
    with opened(data) as runtime:
        record = ImageRecord("pictures", "red.png", lambda: picture(COLOURS["red"]), scores={"mug": 0.25})
        index_images([record], runtime, SHOP)
        runtime.add_encoder(SHOP, "second=vitrine/colour")
        spec = runtime.catalog.get(SHOP).encoder("second")
        weight = np.ones(spec.dim, np.float32)
        runtime.taggers.save(SHOP, [TagHead("mug", "by-hand", spec.name, spec.revision, weight, 0.0)])
        fill_category(runtime, SHOP)
        assert said(runtime)["red.png"]["scored_by"]["mug"] != "manifest" and codes(runtime) == {}


def test_a_quality_that_people_gave_and_took_back_is_the_tagger_s_again(data: Path) -> None:
    with opened(data) as runtime:
        spec = runtime.catalog.get(SHOP).encoder()
        weight = np.ones(spec.dim, np.float32)
        runtime.taggers.save(SHOP, [TagHead("quality", "by-hand", spec.name, spec.revision, weight, 0.0)])
        score_images(runtime, SHOP)
        given = said(runtime)["red.png"]["quality"]
        undo = runtime.editor.change(SHOP, [of(runtime, "red")], ImageChanges(quality=0.2)).undo
        assert undo is not None and said(runtime)["red.png"]["quality"] == 0.2 and codes(runtime) == {}
        runtime.editor.undo(undo.token)
        assert said(runtime)["red.png"]["quality"] == given and codes(runtime) == {}


@pytest.mark.parametrize("content", [b"", b'{"format":7,"saved":[]}', b'{"format":1,"saved":[{}]}'])
def test_what_people_said_of_a_category_is_read(data: Path, content: bytes) -> None:
    with opened(data) as runtime:
        runtime.objects.put(f"_saved/{SHOP}/searches.json", content)
        runtime.objects.put(f"_duplicates/{SHOP}/dismissed.json", content)
        report = check_categories(runtime)
        assert [(each.code, each.where) for each in report.findings] == [
            ("record_damaged", [f"_duplicates/{SHOP}/dismissed.json"]),
            ("record_damaged", [f"_saved/{SHOP}/searches.json"]),
        ]
