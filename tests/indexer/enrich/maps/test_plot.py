from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.indexer.enrich.scores.heads import fill
from tests.indexer.pictures import CATEGORY, make_runtime, picture
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.runs import cluster, fit_tree
from vitrine.indexer.enrich.maps.make import make_map
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.indexer.enrich.maps.palette import COLOURS, NOTHING, OTHER, TOP, colouring
from vitrine.indexer.enrich.maps.plot import Drawing, draw_map
from vitrine.indexer.enrich.maps.points import read_points
from vitrine.indexer.enrich.maps.spread import LARGEST, NARROWEST, spread
from vitrine.indexer.enrich.maps.values import Value, value_reader
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.category.filters import Conditions
from vitrine.services.errors import BadRequest, NotFound, UnknownField
from vitrine.services.runtime import Runtime

pytest.importorskip("matplotlib")
IMAGES = 30


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """Thirty pictures on the map ``flat`` and in the run ``look``; every fifth has no season."""
    made = make_runtime(tmp_path_factory.mktemp("plot"))
    records = [
        ImageRecord(
            f"file:{n}",
            f"{n}.png",
            lambda n=n: picture(n),  # type: ignore[misc]
            tags=("picture", "rare" if n == 7 else ("even", "odd")[n % 2]),
            fields={"class": f"class {n % 3}", "quality": n / IMAGES},
            scores={"red mug": 1 - n / IMAGES, '"St. $x_$"': 0.5},
            metadata={"EXIF:ISO": n, "year": 1990 + n, "born": f"20{n + 10}-01-01", "shelf": n % 4}
            | ({"season": "winter"} if n % 5 else {}),
        )
        for n in range(IMAGES)
    ]
    report = index_images(records, made, CATEGORY)
    assert report.added == IMAGES, report.summary()
    make_map(made, CATEGORY, "flat", MapOptions("pca"))
    cluster(made, CATEGORY, "look", fit_tree(TreeOptions(3, 10, 2)))
    return made


def values(runtime: Runtime, by: str, depth: int = 1) -> list[Value]:
    reader = value_reader(runtime, CATEGORY, by, depth=depth)
    return read_points(runtime, CATEGORY, runtime.maps.get(CATEGORY, "flat"), reader).values


@pytest.mark.parametrize(
    ("by", "kind"),
    [
        (None, "words"),
        ("class", "words"),
        ("tags", "words"),
        ("quality", "numbers"),
        ("scores.red mug", "numbers"),
        ('scores."St. $x_$"', "numbers"),
        (r'scores."\"St. $x_$\""', "numbers"),
        ('metadata."EXIF:ISO"', "numbers"),
        ("metadata.EXIF:ISO", "numbers"),
        ("metadata.season", "words"),
        ("metadata.year", "numbers"),
        ("metadata.shelf", "words"),
        ("metadata.born", "dates"),
        ("created_at", "dates"),
        ("cluster:look", "words"),
        ("filename", "words"),
    ],
)
def test_a_map_is_drawn_by_any_kind_of_field(
    runtime: Runtime, tmp_path: Path, by: str | None, kind: str
) -> None:
    drawn = draw_map(runtime, CATEGORY, "flat", tmp_path / "out" / "map.png", by=by)
    assert (drawn.images, drawn.colours.kind) == (IMAGES, kind)
    assert sum(entry.count for entry in drawn.colours.entries) == IMAGES
    page = Image.open(drawn.path).convert("RGB")
    assert page.height > 300 and len(page.getcolors(1 << 24) or ()) > 20


def test_an_svg_and_pictures_among_the_points(runtime: Runtime, tmp_path: Path) -> None:
    assert (
        b"<svg"
        in draw_map(runtime, CATEGORY, "flat", tmp_path / "map.svg", by="class").path.read_bytes()[:600]
    )
    drawn = draw_map(runtime, CATEGORY, "flat", tmp_path / "map.png", by="quality", thumbnails=12)
    assert drawn.thumbnails == 12
    some = draw_map(
        runtime,
        CATEGORY,
        "flat",
        tmp_path / "map.png",
        by="class",
        conditions=Conditions(class_=("class 1",)),
    )  # type: ignore[call-arg]
    assert (some.images, some.others, [entry.label for entry in some.colours.entries]) == (
        10,
        20,
        ["class 1"],
    )


def test_the_legend_keeps_within_the_page(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    fill(runtime, 24, {n: {"class": "WMWMWMWM " * 3 + str(n % 12)} for n in range(24)})
    make_map(runtime, CATEGORY, "flat", MapOptions("pca"))
    page = Image.open(draw_map(runtime, CATEGORY, "flat", tmp_path / "map.png", by="class").path).convert("L")
    assert np.asarray(page)[:, -6:].min() == 255  # nothing is cut at the right edge


def test_the_value_of_each_kind_of_field(runtime: Runtime) -> None:
    names = [str(name).removesuffix(".png") for name in values(runtime, "filename")]
    numbers = [int(name) for name in names]
    # all have the tag "picture", which says nothing
    assert values(runtime, "tags") == ["rare" if n == 7 else ("even", "odd")[n % 2] for n in numbers]
    assert (
        values(runtime, "scores.red mug")
        == values(runtime, 'scores."red mug"')
        == [1 - n / IMAGES for n in numbers]
    )
    assert values(runtime, "metadata.season") == ["winter" if n % 5 else None for n in numbers]
    run = runtime.clusters.get(CATEGORY, "look")
    nodes = values(runtime, "cluster:look")
    assert {node: nodes.count(node) for node in nodes} == {
        id: run.nodes[id].count for id in run.nodes["root"].children
    }
    assert {run.nodes[str(node)].depth for node in values(runtime, "cluster:look", depth=9)} <= {1, 2}


def test_what_cannot_be_drawn(runtime: Runtime, tmp_path: Path) -> None:
    def draw(name: str = "flat", file: str = "map.png", by: str | None = None, thumbnails: int = 0) -> None:
        draw_map(runtime, CATEGORY, name, tmp_path / file, by=by, thumbnails=thumbnails)

    for by in ("object_key", "nothing", "metadata", "scores.", "sha256", "metadata.nothing"):
        with pytest.raises(UnknownField):
            draw(by=by)
    with pytest.raises(NotFound):
        draw("round")
    with pytest.raises(NotFound):
        draw(by="cluster:mood")
    with pytest.raises(BadRequest, match=r"\.png or \.svg"):
        draw(file="map.txt")
    with pytest.raises(BadRequest, match="pictures"):
        draw(thumbnails=501)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match="cannot be written"):
        draw(file="file/map.png")
    with pytest.raises(BadRequest, match="conditions"):
        draw_map(
            runtime, CATEGORY, "flat", tmp_path / "map.png", conditions=Conditions(tags_all=("nothing",))
        )


def test_a_value_is_text_and_no_formula(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    fill(runtime, 6, {n: {"class": (r"$\bad$", "$5 to $9", "two\nlines")[n % 3]} for n in range(6)})
    make_map(runtime, CATEGORY, "flat", MapOptions("pca"))
    drawn = draw_map(runtime, CATEGORY, "flat", tmp_path / "map.svg", by="class")
    svg = drawn.path.read_text(encoding="utf-8")
    assert "<!-- $5 to $9  2 -->" in svg.replace("\\$", "$") and "<!-- two lines  2 -->" in svg


def test_words_beyond_the_palette_are_other() -> None:
    made = colouring([f"w{n}" for n in range(TOP + 3) for _ in range(20 - n)] + [None])
    assert [entry.label for entry in made.entries] == [
        *(f"w{n}" for n in range(TOP)),
        "other (3 more)",
        "no value",
    ]
    assert [entry.colour for entry in made.entries] == [*COLOURS, OTHER, NOTHING]
    assert [entry.count for entry in made.entries] == [*range(20, 20 - TOP, -1), 8 + 7 + 6, 1]
    assert np.bincount(made.number).tolist() == [entry.count for entry in made.entries]


def test_numbers_are_words_only_if_they_are_few() -> None:
    few = colouring([3, 1, 1, 2])
    assert [entry.label for entry in few.entries] == ["1", "2", "3"] and few.number.tolist() == [2, 0, 0, 1]
    assert colouring([True, False, True]).kind == "words"
    assert colouring(list(range(13))).kind == colouring([0.5, 1]).kind == "numbers"
    mixed = colouring([0.5, None, 1])
    assert mixed.number.tolist() == [0, 1, 0] and np.isnan(mixed.scale[1])
    days = colouring(["1970-01-02", "no date", None], dates=True).scale
    assert days[0] == 1 and np.isnan(days[1:]).all()


@pytest.mark.parametrize(("count", "most"), [(500, 40), (3, 40), (500, 1), (2_000, 300)])
def test_pictures_lie_spread_out_and_apart(count: int, most: int) -> None:
    places = np.random.default_rng(1).random((count, 2)).astype(np.float32)
    chosen, side = spread(places, most)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, most) and NARROWEST <= side <= LARGEST
    for at, one in enumerate(chosen):
        for other in chosen[at + 1 :]:
            assert np.abs(places[one] - places[other]).max() >= side - 1e-6


def test_no_more_pictures_than_fit_and_it_is_said() -> None:
    clumps = np.repeat(np.random.default_rng(1).random((24, 2)).astype(np.float32), 20, axis=0)
    chosen, side = spread(clumps, 150)
    assert len(chosen) == 24 and side == NARROWEST  # 20 images lie at each of 24 spots
    plain = Drawing(Path("x.png"), 480, 0, colouring([None] * 480), thumbnails=24, asked=150)
    assert plain.shortfall == "24 of 150 pictures are drawn: no more than 24 fit without lying on each other."
    assert "there are only 480 images" in replace(plain, asked=500).shortfall
    assert (
        "no more than 24 fit" in (said := replace(plain, thumbnails=20, unread=4).shortfall)
        and "of 4 cannot be read" in said
    )
    assert replace(plain, asked=24).shortfall == ""


def test_a_picture_that_is_gone_is_left_out(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(key: str) -> bytes:
        return io.BytesIO(b"no picture").getvalue()

    monkeypatch.setattr(
        runtime.objects,
        "get",
        lambda key: broken(key) if "/images/" in key else type(runtime.objects).get(runtime.objects, key),
    )
    assert draw_map(runtime, CATEGORY, "flat", tmp_path / "map.png", thumbnails=5).thumbnails == 0
