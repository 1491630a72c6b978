"""Clustering by pixels as a whole, over a store of plain loops: planted copies, cost, checkpoints."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.indexer.enrich.duplicates.scenes import scene
from tests.indexer.pictures import CATEGORY, file_of, make_runtime, write
from vitrine.indexer.enrich.clusters.options import PixelOptions
from vitrine.indexer.enrich.clusters.pixels import checkpoint
from vitrine.indexer.enrich.clusters.pixels.batches import Grouping
from vitrine.indexer.enrich.clusters.pixels.checkpoint import Checkpoints, State
from vitrine.indexer.enrich.clusters.pixels.measures import MEASURES
from vitrine.indexer.enrich.clusters.pixels.pictures import Pictures, read_sources
from vitrine.indexer.enrich.clusters.pixels.report import PixelReport
from vitrine.indexer.enrich.clusters.pixels.run import cluster_pixels
from vitrine.indexer.enrich.clusters.runs import delete_run
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.services.artifacts.clusters import NOISE
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.images.hashes import MAX_BAND
from vitrine.services.runtime import Runtime

pytest.importorskip("datasketch")
SMALL = (100, 75)


def filled(folder: Path, scenes: int, copied: int) -> Runtime:
    """So many scenes, and two copies of the first of them."""
    files = {f"{n}.png": file_of(scene(n, SMALL)) for n in range(scenes)}
    for n in range(copied):
        files[f"{n}-jpeg.jpg"] = file_of(scene(n, SMALL), "JPEG", 80)
        files[f"{n}-blur.png"] = file_of(scene(n, SMALL).filter(ImageFilter.GaussianBlur(0.6)))
    made = make_runtime(folder / "data")
    index_images(open_source(str(write(folder / "shop", files))), made, CATEGORY)
    return made


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return filled(tmp_path_factory.mktemp("pixels"), 36, 6)


def groups(runtime: Runtime, run: str = "px") -> list[list[str]]:
    """File names of each node but noise, as the payload says."""
    found = runtime.clusters.get(CATEGORY, run)
    nodes: dict[str, list[str]] = {}
    for hit in runtime.vectors.scroll(CATEGORY, limit=1_000).hits:
        nodes.setdefault(hit.payload["clusters"][found.key]["path"][-1], []).append(
            str(hit.payload["filename"])
        )
    assert {id: len(names) for id, names in nodes.items()} == {node.id: node.count for node in found.leaves}
    return sorted(sorted(names) for id, names in nodes.items() if id != NOISE)


def copies(count: int) -> list[list[str]]:
    return sorted([[f"{n}-blur.png", f"{n}-jpeg.jpg", f"{n}.png"] for n in range(count)])


def again_until_done(call: Callable[[], PixelReport]) -> list[PixelReport]:
    reports = [call()]
    while reports[-1].out_of_time:
        reports.append(call())
    return reports


@pytest.mark.parametrize("name", MEASURES)
def test_planted_copies_are_found_by_each_measure(shop: Runtime, name: str) -> None:
    threshold = {"colorhash": 0.95, "whash": 0.96}.get(name)
    report = cluster_pixels(shop, CATEGORY, "px", PixelOptions(name, batch_size=10, threshold=threshold))
    assert report.exit_code == 0 and report.cluster.in_service and not report.unreadable
    if name == "colorhash":  # the scenes are of all colours alike: others may be among them
        together = [set(names) for names in groups(shop)]
        assert sum(any({f"{n}.png", f"{n}-jpeg.jpg"} <= names for names in together) for n in range(6)) >= 4
        return
    assert groups(shop) == copies(6)
    run = shop.clusters.get(CATEGORY, "px")
    assert run.method == f"pixels-{name}" and run.parameters["measure"] == name
    assert (run.metrics["groups"], run.metrics["grouped"], run.metrics["alone"], run.metrics["reads"]) == (
        6,
        18,
        30,
        48,
    )
    assert all(
        node.medoid == node.representatives[0] and node.count == 3 for node in run.leaves if node.id != NOISE
    )


def test_new_images_get_a_node_by_their_embedding(tmp_path: Path) -> None:
    runtime = filled(tmp_path, 8, 3)
    cluster_pixels(runtime, CATEGORY, "px", PixelOptions("phash", batch_size=4))
    source = write(tmp_path / "later", {"0-late.png": file_of(scene(0, SMALL).resize((96, 72)))})
    index_images(open_source(str(source)), runtime, CATEGORY)
    run = runtime.clusters.get(CATEGORY, "px")
    late = next(
        hit
        for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits
        if hit.payload["filename"] == "0-late.png"
    )
    assert late.payload["clusters"][run.key]["path"][0] == "root"


def test_unreadable_pictures_are_counted_and_alone(tmp_path: Path) -> None:
    runtime = filled(tmp_path, 6, 2)
    hits = {str(hit.payload["filename"]): hit for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits}
    runtime.objects.delete(str(hits["0.png"].payload["object_key"]))
    runtime.objects.put(str(hits["4.png"].payload["object_key"]), b"no picture")
    for options in (PixelOptions("ssim", batch_size=4), PixelOptions("ssim", propose="hash", band=15)):
        report = cluster_pixels(runtime, CATEGORY, "px", options)
        assert report.exit_code == 0 and groups(runtime) == [["0-blur.png", "0-jpeg.jpg"], copies(2)[1]]
        assert report.unreadable == 2 or options.propose == "hash"


def test_the_cost_does_not_grow_with_the_square(tmp_path: Path) -> None:
    counts = {}
    for scenes in (60, 120, 240):
        runtime = filled(tmp_path / str(scenes), scenes, 0)
        report = cluster_pixels(runtime, CATEGORY, "px", PixelOptions("ssim", batch_size=12, scale=32))
        counts[scenes] = report.comparisons
        rounds = runtime.clusters.get(CATEGORY, "px").metrics["rounds"]
        assert report.groups == 0 and counts[scenes] <= scenes * 12 / 2 * (1 + rounds)
    assert (
        counts[240] < 2.5 * counts[120] and counts[120] < 2.5 * counts[60] and counts[240] < 240 * 239 / 2 / 4
    )


@pytest.mark.parametrize("options", [
    PixelOptions("ssim", batch_size=8, workers=2), PixelOptions("dhash", batch_size=8),
    PixelOptions("ssim", stage="batch", batch_size=8), PixelOptions("orb", propose="hash", band=15),
    PixelOptions("template", propose="embedding", similarity=0.5, batch_size=8),
])  # fmt: skip
def test_out_of_time_it_goes_on_to_the_same_end(
    shop: Runtime, options: PixelOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitrine.indexer.enrich.clusters.pixels.batches._VERIFIED", 3)
    monkeypatch.setattr("vitrine.indexer.enrich.clusters.pixels.pictures.LEAST_STEPS", 10)
    once = cluster_pixels(shop, CATEGORY, "once", options)
    short = replace(options, time_budget=1e-9)
    reports = again_until_done(lambda: cluster_pixels(shop, CATEGORY, "slices", short))
    assert len(reports) > 3 and all(
        report.exit_code == 4 and report.resumed == (n > 0) for n, report in enumerate(reports[:-1])
    )
    assert "goes on from here" in reports[0].summary() and reports[0].to_json()["status"] == "out_of_time"
    assert [report.cluster.in_service for report in reports] == [False] * (len(reports) - 1) + [True]
    assert reports[-1].comparisons == once.comparisons and groups(shop, "slices") == groups(shop, "once")
    one, other = (shop.clusters.get(CATEGORY, run) for run in ("once", "slices"))
    assert dict(one.nodes) == dict(other.nodes) and other.metrics["sittings"] == len(reports)
    assert not [stat for stat in shop.objects.list("_clusters/") if "/pixels/" in stat.key]


@pytest.mark.parametrize("measure", ["ssim", "minhash", "dhash"])
def test_time_is_looked_at_before_each_picture_and_each_comparison(shop: Runtime, measure: str) -> None:
    """A second passes with each look at the clock: little more than the budget of them may pass."""
    looks: list[int] = []

    def clock() -> float:
        looks.append(1)
        return float(len(looks))

    options = PixelOptions(measure, batch_size=40, workers=1, time_budget=100.0)
    report = cluster_pixels(shop, CATEGORY, "tick", options, clock=clock, restart=True)
    assert (
        report.out_of_time and report.stage == "batch" and report.done == 0
    )  # in the midst of its first batch
    assert len(looks) <= 110
    once = cluster_pixels(shop, CATEGORY, "whole", PixelOptions(measure, batch_size=40))
    end = cluster_pixels(shop, CATEGORY, "tick", replace(options, time_budget=None))
    assert (
        end.resumed and end.comparisons == once.comparisons and groups(shop, "tick") == groups(shop, "whole")
    )
    reads = shop.clusters.get(CATEGORY, "tick").metrics["reads"]
    assert reads == 48 if measure != "ssim" else reads < 2 * 48  # hashes are kept, pictures are read again


def test_other_parameters_images_or_restart_begin_anew(tmp_path: Path) -> None:
    runtime = filled(tmp_path, 30, 4)
    short = PixelOptions("ssim", batch_size=8, time_budget=1e-9)
    assert not cluster_pixels(runtime, CATEGORY, "px", short).resumed
    assert cluster_pixels(runtime, CATEGORY, "px", short).resumed
    assert not cluster_pixels(runtime, CATEGORY, "px", short, restart=True).resumed
    assert not cluster_pixels(
        runtime, CATEGORY, "px", PixelOptions("ssim", batch_size=9, time_budget=1e-9)
    ).resumed
    assert cluster_pixels(
        runtime, CATEGORY, "px", PixelOptions("ssim", batch_size=9, workers=1, time_budget=1e-9)
    ).resumed
    index_images(open_source(str(write(tmp_path / "more", {"x.png": file_of(scene(99))}))), runtime, CATEGORY)
    assert not cluster_pixels(
        runtime, CATEGORY, "px", PixelOptions("ssim", batch_size=9, time_budget=1e-9)
    ).resumed
    for stat in runtime.objects.list("_clusters/"):
        runtime.objects.put(stat.key, runtime.objects.get(stat.key)[:100])  # a damaged checkpoint is none
    done = cluster_pixels(runtime, CATEGORY, "px", PixelOptions("ssim", batch_size=9))
    assert not done.resumed and groups(runtime) == copies(4)


def test_a_run_that_never_ended_can_be_deleted(tmp_path: Path) -> None:
    runtime = filled(tmp_path, 20, 2)
    report = cluster_pixels(runtime, CATEGORY, "px", PixelOptions("ssim", batch_size=8, time_budget=1e-9))
    assert report.out_of_time and list(runtime.objects.list("_clusters/"))
    delete_run(runtime, CATEGORY, "px")
    assert not list(runtime.objects.list("_clusters/"))
    with pytest.raises(NotFound):
        delete_run(runtime, CATEGORY, "px")


@pytest.mark.parametrize("kill_at", [1, 3, 6])
def test_a_kill_between_checkpoints_costs_nothing_but_time(
    shop: Runtime, kill_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = PixelOptions("ssim", batch_size=8, workers=1)
    once = cluster_pixels(shop, CATEGORY, "once", options)
    monkeypatch.setattr("vitrine.indexer.enrich.clusters.pixels.batches._CHECKPOINT_SECONDS", 0.0)
    before, saves, save = shop.clusters.get(CATEGORY, "once").created_at, [0], Checkpoints.save

    class Killed(BaseException):
        pass

    def dying(self: Checkpoints, state: State, mark: str) -> None:
        saves[0] += 1
        if saves[0] == kill_at:
            raise Killed
        save(self, state, mark)

    monkeypatch.setattr(Checkpoints, "save", dying)
    with pytest.raises(Killed):
        cluster_pixels(shop, CATEGORY, "once", options)
    assert shop.clusters.get(CATEGORY, "once").created_at == before
    monkeypatch.setattr(Checkpoints, "save", save)
    report = cluster_pixels(shop, CATEGORY, "once", options)
    assert (
        report.resumed == (kill_at > 1)
        and report.comparisons == once.comparisons
        and groups(shop, "once") == copies(6)
    )


def test_being_stopped_leaves_a_checkpoint_and_what_was(shop: Runtime) -> None:
    options, stop = PixelOptions("ssim", batch_size=8), threading.Event()
    cluster_pixels(shop, CATEGORY, "px", options)
    before = shop.clusters.get(CATEGORY, "px").created_at

    class Stopping:
        def start(self, stage: str, total: int | None) -> None:
            self.stage = stage

        def finish(self, report: Any) -> None: ...

        def update(self, report: Any) -> None:
            if self.stage == "grouping" and report.done >= 16:
                stop.set()

    report = cluster_pixels(
        shop,
        CATEGORY,
        "px",
        options,
        progress=Stopping(),
        stop=stop,
    )
    assert report.exit_code == 130 and "Interrupted" in report.summary()
    assert shop.clusters.get(CATEGORY, "px").created_at == before
    report = cluster_pixels(shop, CATEGORY, "px", options)
    assert report.resumed and report.exit_code == 0 and groups(shop) == copies(6)


def test_groups_of_batches_are_merged_later(shop: Runtime) -> None:
    cluster_pixels(shop, CATEGORY, "px", PixelOptions("ssim", stage="batch", batch_size=8))
    apart = groups(shop)
    assert sum(map(len, apart)) < 18 or len(apart) > 6
    report = cluster_pixels(shop, CATEGORY, "px", PixelOptions("ssim", stage="merge", batch_size=8))
    assert groups(shop) == copies(6) and report.groups == 6
    strict = cluster_pixels(shop, CATEGORY, "px", PixelOptions("ssim", stage="merge", threshold=0.9999))
    assert strict.groups < 6  # images that are no longer near enough leave their group
    for options in (PixelOptions("orb", stage="merge"), PixelOptions("ssim", stage="merge", scale=100)):
        with pytest.raises(BadRequest, match="begin with"):
            cluster_pixels(shop, CATEGORY, "px", options)
    with pytest.raises(NotFound):
        cluster_pixels(shop, CATEGORY, "none", PixelOptions("ssim", stage="merge"))


class Noted:
    """Compares plain grey pictures, and remembers which."""

    name, scale = "noted", 16

    def __init__(self) -> None:
        self.compared: list[tuple[int, int]] = []

    def prepare(self, image: Image.Image) -> int:
        return int(np.asarray(image.convert("L"))[0, 0])

    def similarity(self, one: int, other: int) -> float:
        self.compared.append((min(one, other), max(one, other)))
        return 1 - abs(one - other) / 255

    def slim(self, value: int) -> int:
        return value


def test_only_proposed_pairs_are_compared(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path / "data")
    files = {f"{n}.png": file_of(Image.new("RGB", (20, 20), (n, n, n))) for n in range(0, 60, 2)}
    index_images(open_source(str(write(tmp_path / "shop", files))), runtime, CATEGORY)
    hits = runtime.vectors.scroll(CATEGORY, limit=100).hits
    grey = [int(str(hit.payload["filename"]).removesuffix(".png")) for hit in hits]
    rng = np.random.default_rng(3)
    pairs = np.unique(np.sort(rng.integers(0, 30, (80, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    noted, count = Noted(), len(hits)
    state = State(np.arange(count, dtype=np.int32), np.ones(count, bool), np.zeros((count, 64), np.uint8))
    sources = read_sources(runtime, CATEGORY, [hit.id for hit in hits])
    pictures = Pictures(
        runtime, sources, noted, threading.Event(), held=500
    )  # of four: the others are read again
    grouping = Grouping(
        state, pictures, noted, 1 - 10 / 255, 8, 2, lambda state: None, lambda stage, done, total: None
    )
    grouping.run(pairs)
    proposed = {(min(grey[a], grey[b]), max(grey[a], grey[b])) for a, b in pairs.tolist()}
    assert Counter(noted.compared) == Counter(proposed) and state.comparisons == len(pairs)
    for row, leader in enumerate(state.leaders.tolist()):
        one, other = sorted((grey[row], grey[leader]))
        assert row == leader or ((one, other) in proposed and other - one <= 10)


def test_checkpoints_hold_no_pickled_objects(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    kept = Checkpoints(runtime.objects, CATEGORY, "px")
    assert kept.load("a") is None
    state = State(
        np.arange(3, dtype=np.int32), np.ones(3, bool), np.zeros((3, 64), np.uint8), round=2, seconds=1.5
    )
    kept.save(state, "a")
    loaded = kept.load("a")
    assert loaded is not None and (loaded.round, loaded.seconds, loaded.leaders.tolist()) == (
        2,
        1.5,
        [0, 1, 2],
    )
    assert kept.load("b") is None
    buffer = io.BytesIO()
    np.savez(buffer, text=np.array([object()], dtype=object))
    runtime.objects.put(next(runtime.objects.list("_clusters/")).key, buffer.getvalue())
    assert kept.load("a") is None
    assert checkpoint.fingerprint({"a": 1}, ["x"]) != checkpoint.fingerprint({"a": 1}, ["y"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"measure": "looks"},
        {"batch_size": 1},
        {"threshold": 1.5},
        {"threshold": 0},
        {"stage": "some"},
        {"propose": "luck"},
        {"time_budget": 0},
        {"propose": "hash", "stage": "batch"},
        {"propose": "hash", "band": 16},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        PixelOptions(**wrong)


def test_a_scale_that_the_measure_cannot_take_is_refused(shop: Runtime) -> None:
    with pytest.raises(BadRequest, match="scale"):
        cluster_pixels(shop, CATEGORY, "px", PixelOptions("ssim", scale=2))


def test_the_most_bits_are_those_that_hashes_can_be_looked_up_within() -> None:
    assert PixelOptions(band=MAX_BAND).band == MAX_BAND
    with pytest.raises(BadRequest):
        PixelOptions(band=MAX_BAND + 1)
