"""Maps on the oracle store, and killed ones on the embedded engine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.indexer.enrich.scores.heads import fill, id_of, stored, unit_rows
from tests.indexer.killed import program
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.indexer.enrich.maps import make
from vitrine.indexer.enrich.maps.make import count_missing, delete_map, make_map, place_missing
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.indexer.job.payload_writer import Change, PayloadWriter
from vitrine.services.category.filters import Conditions, conditions_from_pairs
from vitrine.services.domain import Point
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import BadRequest, NotFound, UnknownVector
from vitrine.services.object_store.keys import MAPS
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings

IMAGES = 120
PCA = MapOptions("pca")


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    made = make_runtime(tmp_path)
    fill(made, IMAGES, {n: {"tags": [f"t{n}"], "maps": {"other-1": {"x": 0.5, "y": 0.5}}} for n in range(9)})
    return made


def keys(runtime: Runtime) -> Counter[str]:
    """How many images have a place under each key."""
    return Counter(
        key for payload, _ in stored(runtime).values() for key in payload.get("maps", ()) if key != "other-1"
    )


def check(runtime: Runtime, name: str = "flat") -> None:
    """Every image has its place on the map in service, boxes find it, and nothing of other keys is left."""
    made = runtime.maps.get(CATEGORY, name)
    images = stored(runtime)
    assert keys(runtime) == {made.key: len(images)}
    places = np.array([[p["maps"][made.key]["x"], p["maps"][made.key]["y"]] for p, _ in images.values()])
    assert (
        places.min() >= 0 and places.max() <= 1 and np.ptp(places, axis=0).max() == pytest.approx(1, abs=1e-5)
    )
    box = conditions_from_pairs(
        [(f"map.{name}.x.gte", "0.3"), (f"map.{name}.x.lt", "0.6"), (f"map.{name}.y.gt", "0.5")]
    )
    inside = ((places[:, 0] >= 0.3) & (places[:, 0] < 0.6) & (places[:, 1] > 0.5)).sum()
    assert runtime.searcher.count(CATEGORY, box) == inside > 0
    assert len(list(runtime.objects.list(MAPS))) == 2  # current, and the map


def test_a_map_is_on_every_image_and_can_be_queried(runtime: Runtime) -> None:
    report = make_map(runtime, CATEGORY, "flat", PCA)
    assert (report.status, report.images, report.written, report.in_service) == (
        "complete",
        IMAGES,
        IMAGES,
        True,
    )
    assert report.metrics.keys() == {"explained", "neighbours_kept"} and "120 images" in report.summary()
    check(runtime)
    payload, _ = stored(runtime)["3.png"]
    assert payload["tags"] == ["t3"] and payload["maps"]["other-1"] == {"x": 0.5, "y": 0.5}


def test_the_next_map_replaces_it(runtime: Runtime) -> None:
    for key in ("flat-1", "flat-2", "flat-1"):
        assert make_map(runtime, CATEGORY, "flat", PCA).key == key
        check(runtime)


def test_nothing_is_seen_of_a_map_that_was_stopped(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "PAGE", 20)
    make_map(runtime, CATEGORY, "flat", PCA)
    before, stop, write = runtime.maps.get(CATEGORY, "flat"), threading.Event(), PayloadWriter.write

    def stopping(self: PayloadWriter, *given: Any) -> int:
        stop.set()
        return write(self, *given)

    monkeypatch.setattr(PayloadWriter, "write", stopping)
    report = make_map(runtime, CATEGORY, "flat", PCA, stop=stop)
    assert (report.status, report.exit_code, report.written, report.in_service) == (
        "interrupted",
        130,
        20,
        False,
    )
    assert keys(runtime) == {"flat-1": IMAGES, "flat-2": 20} and runtime.maps.get(CATEGORY, "flat") == before
    monkeypatch.setattr(PayloadWriter, "write", write)
    make_map(runtime, CATEGORY, "flat", PCA)
    check(runtime)


@pytest.mark.parametrize("stage", ["laying out", "writing"])
def test_ctrl_c_in_any_stage_leaves_what_was(runtime: Runtime, stage: str) -> None:
    make_map(runtime, CATEGORY, "flat", PCA)
    before = runtime.maps.get(CATEGORY, "flat")

    class Interrupting:
        def start(self, name: str, total: int | None) -> None:
            if name == stage:
                raise KeyboardInterrupt

        def update(self, report: object) -> None: ...

        def finish(self, report: object) -> None: ...

    report = make_map(runtime, CATEGORY, "flat", PCA, progress=Interrupting())
    assert report.interrupted and runtime.maps.get(CATEGORY, "flat") == before
    make_map(runtime, CATEGORY, "flat", PCA)
    check(runtime)


def test_images_deleted_meanwhile_are_left_out(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    write = PayloadWriter.write

    def deleting(self: PayloadWriter, changes: Mapping[str, Change]) -> int:
        runtime.vectors.delete(CATEGORY, [list(changes)[3]])
        return write(self, changes)

    monkeypatch.setattr(PayloadWriter, "write", deleting)
    report = make_map(runtime, CATEGORY, "flat", PCA)
    assert report.written == IMAGES - 1 and keys(runtime) == {"flat-1": IMAGES - 1}


def test_images_that_came_later_go_where_their_nearest_are(runtime: Runtime) -> None:
    make_map(runtime, CATEGORY, "flat", PCA)
    made = runtime.maps.get(CATEGORY, "flat")
    old = stored(runtime)
    extra = unit_rows(9, 64, 77)
    points = [Point(id_of(1_000 + n), {"colour": extra[n]}, {"filename": f"new{n}.png"}) for n in range(9)]
    runtime.vectors.upsert(CATEGORY, [*points, Point(id_of(2_000), {}, {"filename": "without.png"})])
    assert count_missing(runtime, CATEGORY, made) == 9
    report = place_missing(runtime, CATEGORY, "flat")
    assert (report.written, report.status, count_missing(runtime, CATEGORY, made)) == (9, "complete", 0)
    images = stored(runtime)
    ranked = sorted(old.values(), key=lambda one: -float(one[1]["colour"] @ extra[0]))[:5]
    for axis in "xy":
        expected = np.median([payload["maps"][made.key][axis] for payload, _ in ranked])
        assert images["new0.png"][0]["maps"][made.key][axis] == pytest.approx(expected, abs=1e-5)
    assert all(images[name][0]["maps"] == payload["maps"] for name, (payload, _) in old.items())
    assert place_missing(runtime, CATEGORY, "flat").written == 0


def test_a_map_is_deleted_with_its_coordinates(runtime: Runtime) -> None:
    make_map(runtime, CATEGORY, "flat", PCA)
    runtime.maps.save(CATEGORY, runtime.maps.get(CATEGORY, "flat"))  # as a killed one would leave it
    delete_map(runtime, CATEGORY, "flat")
    assert not keys(runtime) and stored(runtime)["3.png"][0]["maps"].keys() == {"other-1"}
    assert [stat.key for stat in runtime.objects.list(MAPS)] == [f"{MAPS}{CATEGORY}/current.json"]
    with pytest.raises(NotFound):
        delete_map(runtime, CATEGORY, "flat")


def test_what_cannot_be_mapped(runtime: Runtime) -> None:
    with pytest.raises(UnknownVector):
        make_map(runtime, CATEGORY, "flat", PCA, using="nothing")
    with pytest.raises(NotFound):
        make_map(runtime, "nowhere", "flat", PCA)
    with pytest.raises(BadRequest, match="cannot name"):
        make_map(runtime, CATEGORY, "a.b", PCA)
    with pytest.raises(NotFound):
        place_missing(runtime, CATEGORY, "flat")


# Kills
# ------------------------------------------------------------------------------------------------------------

# Signs of life before the end, and whether the engine dies too. The ten are: laid out (3), six pages (7);
# then comes the switch.
KILLS = ((6, False), (8, True), (10, False))
CODE = """
from pathlib import Path
from vitrine.indexer.job import payload_writer
payload_writer.PAGE = 20
from vitrine.indexer.enrich.maps import make
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.indexer.job.payload_writer import Change, PayloadWriter
from vitrine.services.runtime import open_runtime
from vitrine.services.settings import Settings

def work(data, category):
    with open_runtime(Settings(data=Path(data), min_free_mb=0, _env_file=None)) as runtime:
        runtime.vectors.count(category)  # the engine starts with the first question
        print(runtime.vectors.engine_pid, flush=True)
        report = make.make_map(runtime, category, "flat", MapOptions("pca"), progress=Teller())
        print("end", report.key, flush=True)

serve(work)
"""


def test_kills_leave_no_half_written_map_in_service(tmp_path: Path) -> None:
    data = tmp_path / "data"
    settings = Settings(data=data, min_free_mb=0, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    with program(tmp_path, CODE) as making:
        with open_runtime(settings) as runtime:
            runtime.catalog.create(CATEGORY, [runtime.encoders.register(ColourEncoder()).spec])
            fill(runtime, IMAGES)
            make_map(runtime, CATEGORY, "flat", PCA)
            check(runtime)
        for signs, engine in KILLS:
            making.kill(data, CATEGORY, after=signs, engine=engine)
            with open_runtime(settings) as runtime:
                made = runtime.maps.get(CATEGORY, "flat")  # whole, whichever it is
                assert keys(runtime)[made.key] == IMAGES
                everywhere = conditions_from_pairs([("map.flat.x.gte", "0"), ("map.flat.y.lte", "1")])
                assert (
                    runtime.searcher.count(CATEGORY, everywhere)
                    == IMAGES
                    == runtime.searcher.count(CATEGORY, Conditions())
                )
        assert making.finish(data, CATEGORY).split()[0] == "end"
    with open_runtime(settings) as runtime:
        check(runtime)
