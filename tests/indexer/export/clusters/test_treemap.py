"""Treemaps: the layout against its definition on random cases, and the files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from io import BytesIO
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.indexer.pictures import CATEGORY, picture
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.runs import cluster, fit_tree
from vitrine.indexer.export.clusters.folders import ByCluster, folder_name
from vitrine.indexer.export.clusters.node_pictures import members, node_counts
from vitrine.indexer.export.clusters.node_sheets import write_sheets
from vitrine.indexer.export.clusters.treemap import Rect, lay_out, squarify
from vitrine.indexer.export.clusters.treemap_files import write_treemap
from vitrine.indexer.export.clusters.treemap_marks import fit, font, ink_on, label, mosaic
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.artifacts.clusters import ClusterRun, Node
from vitrine.services.category.filters import Conditions, parse_conditions
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime

SVG = "{http://www.w3.org/2000/svg}"


def overlap(one: Rect, other: Rect) -> float:
    wide = min(one.right, other.right) - max(one.x, other.x)
    high = min(one.bottom, other.bottom) - max(one.y, other.y)
    return max(0.0, wide) * max(0.0, high)


def inside(inner: Rect, outer: Rect) -> bool:
    slack = 1e-6
    return (
        inner.x >= outer.x - slack
        and inner.y >= outer.y - slack
        and inner.right <= outer.right + slack
        and inner.bottom <= outer.bottom + slack
    )


def check_cut(areas: Sequence[float], rect: Rect) -> None:
    cuts = squarify(areas, rect)
    assert len(cuts) == len(areas)
    for area, cut in zip(areas, cuts, strict=True):
        assert cut.area == pytest.approx(rect.area * area / sum(areas), rel=1e-6, abs=1e-6)
        assert inside(cut, rect)
    assert all(overlap(one, other) < 1e-6 * rect.area for one, other in combinations(cuts, 2))


def test_areas_are_proportional_and_do_not_overlap() -> None:
    chance = random.Random(3)
    for _ in range(150):
        areas = [
            chance.choice((chance.random() * 10 ** chance.randrange(5), 1.0, 0.0))
            for _ in range(chance.randrange(1, 30))
        ]
        areas[0] += 0.5
        rect = Rect(
            chance.uniform(-5, 50), chance.uniform(-5, 50), chance.uniform(1, 900), chance.uniform(1, 900)
        )
        check_cut(areas, rect)


def test_the_example_of_the_paper() -> None:
    cuts = squarify([6, 6, 4, 3, 2, 2, 1], Rect(0, 0, 6, 4))
    shapes = [(round(cut.width, 2), round(cut.height, 2)) for cut in cuts]
    assert shapes[:4] == [(3.0, 2.0), (3.0, 2.0), (1.71, 2.33), (1.29, 2.33)]


def test_boxes_of_alike_areas_are_nearly_square_whatever_the_order() -> None:
    chance = random.Random(5)
    for _ in range(60):
        areas = [chance.uniform(1, 3) for _ in range(chance.randrange(8, 60))]
        ratios = [
            max(cut.width / cut.height, cut.height / cut.width)
            for cut in squarify(areas, Rect(0, 0, 1600, 1000))
        ]
        assert max(ratios) < 3.5 and sum(ratios) / len(ratios) < 1.6
        shuffled = chance.sample(areas, len(areas))
        assert sorted(c.area for c in squarify(shuffled, Rect(0, 0, 9, 5))) == pytest.approx(
            sorted(c.area for c in squarify(areas, Rect(0, 0, 9, 5)))
        )


def test_nothing_to_cut() -> None:
    assert squarify([], Rect(0, 0, 3, 3)) == []
    assert [cut.area for cut in squarify([0, 0], Rect(0, 0, 3, 3))] == [0, 0]
    assert [cut.area for cut in squarify([1, 2], Rect(1, 1, 0, 3))] == [0, 0]


def random_tree(chance: random.Random) -> tuple[dict[str, Node], dict[str, int]]:
    nodes: dict[str, Node] = {}
    counts: dict[str, int] = {}

    def grow(id: str, parent: str | None, depth: int) -> int:
        number = 0 if depth == 3 or (depth and chance.random() < 0.3) else chance.randrange(2, 17)
        children = tuple(f"{id}-{n}" for n in range(number))
        nodes[id] = Node(id, parent, depth, 0, "m", ("m",), 0.5, "a name", children)
        counts[id] = sum(grow(child, id, depth + 1) for child in children) or chance.randrange(
            0 if depth else 1, 60
        )
        return counts[id]

    grow("root", None, 0)
    return nodes, counts


def test_nested_boxes_keep_within_their_parents() -> None:
    chance = random.Random(7)
    for _ in range(12):
        nodes, counts = random_tree(chance)
        levels = chance.randrange(1, 4)
        boxes = lay_out(nodes, counts, 1200, 800, levels=levels, top=40)
        by_id = {box.node.id: box for box in boxes}
        assert len(by_id) == len(boxes) and all(counts[id] > 0 for id in by_id)
        assert max(box.node.depth for box in boxes) <= levels
        for box in boxes:
            assert inside(box.rect, box.cell) and inside(box.cell, Rect(0, 40, 1200, 760))
            children = [by_id[id] for id in box.node.children if id in by_id]
            assert (box.header is not None) == bool(children)
            for child in children:
                assert inside(child.cell, box.rect) and child.cell.y >= box.rect.y + (box.header or 0)
                assert child.branch == (
                    nodes["root"].children.index(child.node.id) if box.node.id == "root" else box.branch
                )
            whole = sum(child.count for child in children)
            space = sum(child.cell.area for child in children)
            for child in children:
                assert child.cell.area == pytest.approx(space * child.count / whole, rel=1e-6)
            assert all(overlap(one.cell, other.cell) < 1e-3 for one, other in combinations(children, 2))


def test_a_run_of_one_node_and_one_without_images() -> None:
    root = {"root": Node("root", None, 0, 5, "m", ("m",), 0.5)}
    [box] = lay_out(root, {"root": 5}, 300, 200)
    assert (box.header, box.rect) == (None, Rect(0, 0, 300, 200))
    assert lay_out(root, {"root": 0}, 300, 200) == []


# Marks
# ------------------------------------------------------------------------------------------------------------


def test_labels_fit_whatever_the_width() -> None:
    for width in range(0, 400, 7):
        words = label("root-14-3", "red mugs, tiled background", 1234, 12, width)
        assert not words or font(12).getlength(words) <= width
        assert not words or words.endswith("1,234")
    assert label("root-1", "", 5, 12, 300) == "root-1  5"
    assert label("root-1", "mugs", 5, 12, 300) == "root-1  mugs  5"
    assert fit("x", 12, -1) == ""
    assert label("root-1", "red\nmugs", 5, 12, 300) == "root-1  red mugs  5"


def test_tiles_are_whole_pixels_inside_and_apart() -> None:
    chance = random.Random(9)
    for _ in range(100):
        rect = Rect(
            chance.uniform(0, 9), chance.uniform(0, 9), chance.uniform(0, 700), chance.uniform(0, 700)
        )
        tiles = mosaic(rect, chance.randrange(1, 40))
        assert bool(tiles) == (min(rect.width, rect.height) >= 20)
        assert all(tile.x == int(tile.x) and tile.width == int(tile.width) for tile in tiles)
        assert all(
            inside(tile, Rect(rect.x - 1, rect.y - 1, rect.width + 1, rect.height + 1)) for tile in tiles
        )
        assert all(overlap(one, other) == 0 for one, other in combinations(tiles, 2))


def test_ink_can_be_read_on_every_ground() -> None:
    assert ink_on((255, 255, 255)) == ink_on((136, 204, 238)) == (24, 24, 27)
    assert ink_on((51, 34, 136)) == (255, 255, 255)


# Files
# ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(runtime: Runtime) -> ClusterRun:
    """Forty pictures in a small tree, and a tag that has to be escaped."""
    tags = (("<b>&\"tag'",), ("plain",))
    records = [ImageRecord("test", f"{n}.png", lambda n=n: picture(n), tags=tags[n % 2]) for n in range(40)]  # type: ignore[misc]
    assert index_images(records, runtime, CATEGORY).added == 40
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 8)))
    found = runtime.clusters.get(CATEGORY, "look")
    nodes = {
        id: Node(**vars(node) | {"name": "<b>&\"tag'\x00" if id != "root" else ""})
        for id, node in found.nodes.items()
    }
    return ClusterRun(**vars(found) | {"nodes": nodes})


def test_an_svg_holds_all_it_shows(runtime: Runtime, run: ClusterRun, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = tmp_path / "deep" / "map.svg"
    report = write_treemap(runtime, CATEGORY, run, path, tell=lambda done, of: told.append((done, of)))
    text = path.read_text(encoding="utf-8")
    tree = ElementTree.fromstring(text)
    images = tree.findall(f"{SVG}image")
    assert (report.images, report.missing) == (40, 0) and report.pictures == len(images) > 10
    assert told[-1] == (len(images), len(images))
    assert all(str(image.get("href")).startswith("data:image/jpeg;base64,") for image in images)
    assert "<script" not in text and "<b>" not in text and text.count("http") == 1  # the name space alone
    notes = [title.text or "" for title in tree.iter(f"{SVG}title")]
    assert len(notes) == report.boxes - 1 and all("<b>&\"tag'" in note for note in notes)
    assert text == (
        write_treemap(runtime, CATEGORY, run, path) and path.read_text(encoding="utf-8")
    )  # the same each time


def test_a_png_of_the_size_asked_for(runtime: Runtime, run: ClusterRun, tmp_path: Path) -> None:
    write_treemap(runtime, CATEGORY, run, tmp_path / "map.png", size=(640, 480), levels=1)
    with Image.open(tmp_path / "map.png") as image:
        assert (image.format, image.size) == ("PNG", (640, 480))
        colours = image.convert("RGB").getcolors(1 << 20)
        assert colours is not None and len(colours) > 100
    for wrong in (
        {"size": (10, 10)},
        {"levels": 0},
        {"conditions": parse_conditions({"tags_all": ["nobody"]})},
    ):
        with pytest.raises(BadRequest):
            write_treemap(runtime, CATEGORY, run, tmp_path / "wrong.png", **wrong)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match=r"\.svg or \.png"):
        write_treemap(runtime, CATEGORY, run, tmp_path / "wrong.gif")
    assert not (tmp_path / "wrong.png").exists()


def test_counts_are_those_of_now_and_filters_narrow_them(runtime: Runtime, run: ClusterRun) -> None:
    everything = node_counts(runtime, CATEGORY, run, Conditions())
    assert everything == {id: node.count for id, node in run.nodes.items()}
    plain = parse_conditions({"tags_all": ["plain"]})
    for id, count in node_counts(runtime, CATEGORY, run, plain, levels=1).items():
        assert count == runtime.searcher.count(CATEGORY, plain.model_copy(update={"clusters": {"look": id}}))
    one = runtime.clusters.get(CATEGORY, "look").nodes["root"].children[0]
    below = node_counts(runtime, CATEGORY, run, parse_conditions({"clusters": {"look": one}}))
    assert below["root"] == below[one] == everything[one]
    gone = run.nodes[one].medoid
    runtime.editor.delete(CATEGORY, [gone])
    assert node_counts(runtime, CATEGORY, run, Conditions())[one] == everything[one] - 1
    shown = members(runtime, CATEGORY, run, run.nodes[one], Conditions(), 50, more=True)
    assert len(shown) == everything[one] - 1 and gone not in shown
    for id in members(runtime, CATEGORY, run, run.nodes["root"], plain, 12):
        assert runtime.searcher.image(CATEGORY, id).payload["tags"] == ["plain"]


def test_pictures_whose_file_is_gone_leave_a_gap(runtime: Runtime, run: ClusterRun, tmp_path: Path) -> None:
    medoid = runtime.searcher.image(CATEGORY, run.nodes["root"].medoid)
    runtime.objects.delete(medoid.payload["object_key"])
    report = write_treemap(runtime, CATEGORY, run, tmp_path / "map.svg")
    assert report.missing <= 1 and (tmp_path / "map.svg").exists()


def test_sheets_and_a_page_that_leads_to_them(runtime: Runtime, run: ClusterRun, tmp_path: Path) -> None:
    report = write_sheets(runtime, CATEGORY, run, tmp_path / "out", per_node=5)
    inner = [id for id, node in run.nodes.items() if node.children and node.depth < 2]
    assert [Path(path).name for path in report.sheets] == [f"{id}.png" for id in inner]
    assert report.nodes == sum(len(run.nodes[id].children) for id in inner)
    assert report.pictures == sum(
        min(5, run.nodes[child].count) for id in inner for child in run.nodes[id].children
    )
    with Image.open(report.sheets[0]) as sheet:
        assert sheet.format == "PNG" and sheet.width > 500
    page = Path(report.index).read_text(encoding="utf-8")
    assert "<b>" not in page and "&lt;b&gt;&amp;" in page and "<script" not in page and "http" not in page
    for id in inner:
        assert f'href="sheets/{id}.png"' in page and f'id="{id}"' in page
    assert 'src="treemap.svg"' in page and (tmp_path / "out" / "treemap.svg").exists()
    write_sheets(runtime, CATEGORY, run, tmp_path / "out", per_node=2)  # again: over its own files


def test_sheets_leave_files_of_others_alone(runtime: Runtime, run: ClusterRun, tmp_path: Path) -> None:
    for name in ("index.html", "treemap.svg"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(BadRequest, match="choose another folder"):
            write_sheets(runtime, CATEGORY, run, folder)
        assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, "mine")]
    with pytest.raises(BadRequest):
        write_sheets(runtime, CATEGORY, run, tmp_path / "out", per_node=0)


def test_a_long_sheet_is_cut_into_pages(
    runtime: Runtime, run: ClusterRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitrine.indexer.export.clusters.node_sheets._MOST_HEIGHT", 200)
    report = write_sheets(runtime, CATEGORY, run, tmp_path / "out", levels=1, per_node=3)
    names = [Path(path).name for path in report.sheets]
    assert names == ["root.png", "root-page-2.png", "root-page-3.png"] and report.nodes == 3
    assert "contact sheet 3" in Path(report.index).read_text(encoding="utf-8")


# Folder names
# ------------------------------------------------------------------------------------------------------------


def test_folders_by_path(run: ClusterRun) -> None:
    nodes = {
        id: Node(**vars(node) | {"name": "a/b" if node.depth == 1 else ""}) for id, node in run.nodes.items()
    }
    named = ClusterRun(**vars(run) | {"nodes": nodes})
    payload = {"clusters": {run.key: {"id": "1", "path": ["root", "root-1", "root-1-0"]}}}
    [deep] = ByCluster(named).names(payload)
    top, _, leaf = deep.partition("/")
    assert top.startswith("root-1 a_b-") and leaf == "root-1-0"
    assert ByCluster(named, 1).names(payload) == [top]
    assert ByCluster(named).names({"clusters": {run.key: {"path": ["root"]}}}) == ["root"]
    assert (
        ByCluster(named).names({})
        == ByCluster(named).names({"clusters": {"other-1": {"path": ["root"]}}})
        == []
    )
    assert len(folder_name(Node("root-1", "root", 1, 3, "m", ("m",), 0.5, "x" * 500))) < 100
    with pytest.raises(BadRequest):
        ByCluster(run, 0)


def test_pictures_in_the_png_are_where_the_svg_has_them(
    runtime: Runtime, run: ClusterRun, tmp_path: Path
) -> None:
    one = write_treemap(runtime, CATEGORY, run, tmp_path / "map.svg", size=(400, 300))
    other = write_treemap(runtime, CATEGORY, run, tmp_path / "map.png", size=(400, 300))
    assert (one.boxes, one.pictures) == (other.boxes, other.pictures)
    page = Image.open(BytesIO((tmp_path / "map.png").read_bytes())).convert("RGB")
    tree = ElementTree.fromstring((tmp_path / "map.svg").read_text(encoding="utf-8"))
    for image in tree.findall(f"{SVG}image"):
        x, y, width, height = (int(float(image.get(name, "0"))) for name in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 40 and x + width <= page.width and y + height <= page.height
