"""The demo catalogue: what is written is true, repeatable and safe to write again."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrine.data.catalogue import COLUMNS, CatalogueSummary, draw_catalogue
from vitrine.data.edits import EDITS
from vitrine.data.pictures import draw_pictures
from vitrine.data.shapes import KINDS

COUNT = 120
SIZE = 64


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> CatalogueSummary:
    """A small catalogue, drawn once for the tests that only look at it."""
    return draw_catalogue(tmp_path_factory.mktemp("catalogue"), count=COUNT, seed=3, size=SIZE)


@pytest.fixture(scope="module")
def rows(drawn: CatalogueSummary) -> list[dict[str, str]]:
    return read_rows(drawn.folder)


def read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        draw_catalogue(tmp_path / name, count=30, seed=5, size=SIZE)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_seed_draws_another_catalogue(tmp_path: Path) -> None:
    first, second = (next(draw_pictures(1, seed, SIZE)) for seed in (1, 2))
    assert not np.array_equal(np.asarray(first.image), np.asarray(second.image))


def test_pictures_of_a_sequence_do_not_depend_on_where_drawing_starts() -> None:
    whole = [np.asarray(p.image) for p in draw_pictures(4, 9, SIZE)]
    tail = [np.asarray(p.image) for p in draw_pictures(2, 9, SIZE, start=2)]
    assert all(np.array_equal(a, b) for a, b in zip(whole[2:], tail, strict=True))


def test_the_manifest_lists_every_picture_once(drawn: CatalogueSummary, rows: list[dict[str, str]]) -> None:
    listed = [row["path"] for row in rows]
    on_disk = {p.relative_to(drawn.folder).as_posix() for p in (drawn.folder / "images").rglob("*.*")}
    assert tuple(rows[0]) == COLUMNS
    assert len(listed) == len(set(listed)) == COUNT == drawn.pictures
    assert set(listed) == on_disk


def test_every_picture_opens_and_has_the_size_asked_for(
    drawn: CatalogueSummary, rows: list[dict[str, str]]
) -> None:
    for row in rows:
        with Image.open(drawn.folder / row["path"]) as image:
            image.load()
            if row["edit"] in ("crop", "resize"):
                assert max(image.size) < SIZE
            else:
                assert image.size == (SIZE, SIZE)


def test_cut_outs_are_white_where_they_are_transparent(tmp_path: Path) -> None:
    """So that dropping the alpha channel and laying it on white give the same picture."""
    made = draw_catalogue(tmp_path, count=60, seed=4, size=SIZE)
    cut_outs = [image for p in made.folder.rglob("*.png") if (image := Image.open(p)).mode == "RGBA"]
    assert cut_outs
    for image in cut_outs:
        pixels = np.asarray(image)
        assert (pixels[pixels[..., 3] == 0][:, :3] >= 250).all()


def test_tags_and_caption_say_what_the_class_is(rows: list[dict[str, str]]) -> None:
    for row in rows:
        tags = row["tags"].split("|")
        assert row["class"] in KINDS
        assert row["class"] in tags
        assert row["class"] in row["caption"]
        assert len(tags) == len(set(tags))


def test_quality_and_scores_lie_between_0_and_1(rows: list[dict[str, str]]) -> None:
    for name in ("quality", "scores.close_up", "scores.colourful"):
        values = [float(row[name]) for row in rows]
        assert min(values) >= 0 and max(values) <= 1
        assert max(values) - min(values) > 0.2


def test_a_large_object_fills_more_of_the_frame_than_a_small_one(rows: list[dict[str, str]]) -> None:
    def mean_close_up(size: str) -> float:
        return float(np.mean([float(r["scores.close_up"]) for r in rows if size in r["tags"].split("|")]))

    assert mean_close_up("small") < mean_close_up("medium") < mean_close_up("large")


def test_near_duplicates_name_an_original_of_the_same_design(
    drawn: CatalogueSummary, rows: list[dict[str, str]]
) -> None:
    by_path = {row["path"]: row for row in rows}
    copies = [row for row in rows if row["duplicate_of"]]
    assert len(copies) == drawn.near_duplicates > 0
    for row in copies:
        original = by_path[row["duplicate_of"]]
        assert original["duplicate_of"] == ""
        assert original["design"] == row["design"]
        assert row["edit"] in EDITS
    assert all(row["edit"] == "" for row in rows if not row["duplicate_of"])


def test_the_truth_agrees_with_the_manifest(drawn: CatalogueSummary, rows: list[dict[str, str]]) -> None:
    truth = json.loads((drawn.folder / "truth.json").read_text(encoding="utf-8"))
    designs = {name: set(entry["pictures"]) for name, entry in truth["designs"].items()}
    assert designs == {name: {r["path"] for r in rows if r["design"] == name} for name in designs}
    assert len(designs) == drawn.designs
    assert any(len(paths) > 2 for paths in designs.values())
    assert len(truth["near_duplicates"]) == drawn.near_duplicates


def test_a_complete_catalogue_is_left_alone(tmp_path: Path) -> None:
    first = draw_catalogue(tmp_path, count=20, seed=5, size=SIZE)
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    second = draw_catalogue(tmp_path, count=20, seed=5, size=SIZE)
    assert (first.drawn, second.drawn) == (20, 0)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == times


def test_an_interrupted_drawing_is_completed(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, count: int) -> None:
        if done == 7:
            raise Killed

    with pytest.raises(Killed):
        draw_catalogue(tmp_path / "cut", count=20, seed=5, size=SIZE, progress=kill)
    assert not (tmp_path / "cut" / "truth.json").exists()
    draw_catalogue(tmp_path / "cut", count=20, seed=5, size=SIZE)
    draw_catalogue(tmp_path / "whole", count=20, seed=5, size=SIZE)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["picture", "manifest", "truth"])
def test_a_damaged_catalogue_is_drawn_again(tmp_path: Path, damage: str) -> None:
    draw_catalogue(tmp_path, count=10, seed=5, size=SIZE)
    before = contents(tmp_path)
    match damage:
        case "picture":
            (tmp_path / read_rows(tmp_path)[0]["path"]).unlink()
        case "manifest":
            (tmp_path / "manifest.csv").write_text("path\n", encoding="utf-8")
        case _:
            (tmp_path / "truth.json").write_text("{", encoding="utf-8")
    draw_catalogue(tmp_path, count=10, seed=5, size=SIZE)
    assert contents(tmp_path) == before


def test_a_smaller_catalogue_removes_its_own_pictures_and_no_others(tmp_path: Path) -> None:
    draw_catalogue(tmp_path, count=20, seed=5, size=SIZE)
    mine = tmp_path / "images" / "mug" / "holiday.jpg"
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"a user's file")
    draw_catalogue(tmp_path, count=10, seed=5, size=SIZE)
    left = {p.relative_to(tmp_path).as_posix() for p in (tmp_path / "images").rglob("*.*")}
    assert left == {row["path"] for row in read_rows(tmp_path)} | {"images/mug/holiday.jpg"}


@pytest.mark.parametrize(("count", "size"), [(0, 64), (10, 8)])
def test_impossible_requests_are_refused(tmp_path: Path, count: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        draw_catalogue(tmp_path, count=count, size=size)


def test_every_kind_is_drawn_within_its_frame() -> None:
    from vitrine.data.geometry import Variation

    for kind in KINDS.values():
        for value in (0.0, 0.5, 0.999):
            points = np.concatenate([p.points for p in kind.parts(Variation(value, value, value))])
            assert np.isfinite(points).all()
            assert np.abs(points).max() <= 1.0 + 1e-9
