"""Cluster runs on the oracle store, and killed ones on the embedded engine."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.indexer.enrich.scores.heads import fill, id_of, stored, unit_rows
from tests.indexer.killed import program
from tests.indexer.pictures import CATEGORY, make_runtime, picture
from vitrine.indexer.enrich.clusters import runs
from vitrine.indexer.enrich.clusters.naming import telling
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.runs import assign_missing, cluster, delete_run, fit_tree
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.job.payload_writer import PayloadWriter
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.artifacts.clusters import ClusterStore, path_of
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Point
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import BadRequest, NotFound, UnknownVector
from vitrine.services.object_store.keys import CLUSTERS
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings

IMAGES = 120
OPTIONS = TreeOptions(branching=4, leaf_size=10)


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    made = make_runtime(tmp_path)
    fill(
        made,
        IMAGES,
        {
            n: {"tags": [f"t{n}"], "clusters": {"mood-1": {"id": "3", "path": ["root", "root-3"]}}}
            for n in range(9)
        },
    )
    return made


def keys(runtime: Runtime) -> Counter[str]:
    """How many images have something under each key."""
    return Counter(
        key
        for payload, _ in stored(runtime).values()
        for key in payload.get("clusters", ())
        if key != "mood-1"
    )


def check(runtime: Runtime, name: str = "look") -> None:
    """Every image is in the node that the run in service gives it, and nothing of other keys is left."""
    run = runtime.clusters.get(CATEGORY, name)
    images = stored(runtime)
    assert keys(runtime) == {run.key: len(images)}
    paths = run.assign(np.stack([vectors["colour"] for _, vectors in images.values()]))
    for (payload, _), path in zip(images.values(), paths, strict=True):
        assert payload["clusters"][run.key] == {"id": path[1].removeprefix("root-"), "path": list(path)}
    counts = Counter(id for payload, _ in images.values() for id in payload["clusters"][run.key]["path"])
    for id, count in counts.items():
        assert runtime.searcher.count(CATEGORY, Conditions(clusters={name: id})) == count
    assert (
        sum("." in stat.key.rpartition("/")[2] for stat in runtime.objects.list(CLUSTERS)) == 3
    )  # current, and two of the run


def test_names_by_people_go_over_to_the_nodes_with_nearly_the_same_images(runtime: Runtime) -> None:
    cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    former = runtime.clusters.get(CATEGORY, "look")
    top = runtime.clusters.get(CATEGORY, "look").nodes["root"].children
    for id, name in zip(top, ("Mugs", "Lamps"), strict=False):
        runtime.clusters.rename_node(CATEGORY, former.key, id, name, "people")
    report = cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    again = runtime.clusters.get(CATEGORY, "look")
    assert [(again.node(id).name, again.node(id).named_by) for id in top[:2]] == [
        ("Mugs", "people"),
        ("Lamps", "people"),
    ]
    assert again.node(top[2]).named_by != "people"
    assert report.notes == ["Names by people that went over: 'Mugs', 'Lamps'."]

    runtime.clusters.rename_node(CATEGORY, again.key, "root", "All", "people")
    report = cluster(runtime, CATEGORY, "look", fit_tree(replace(OPTIONS, branching=30)))
    assert runtime.clusters.get(CATEGORY, "look").node("root").name == "All"
    assert report.notes == [
        "Names by people that went over: 'All'. Lost, as no node has nearly the same images: 'Mugs', "
        "'Lamps'; vitrine cluster show look lists the new ones."
    ]


def test_a_run_is_on_every_image_and_can_be_queried(runtime: Runtime) -> None:
    report = cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    assert (report.status, report.images, report.written, report.in_service) == (
        "complete",
        IMAGES,
        IMAGES,
        True,
    )
    check(runtime)
    run = runtime.clusters.get(CATEGORY, "look")
    assert {id: node.count for id, node in run.nodes.items()} == Counter(
        id for payload, _ in stored(runtime).values() for id in payload["clusters"]["look-1"]["path"]
    )
    assert (
        run.parameters == {"branching": 4, "leaf_size": 10, "depth": 8}
        and run.encoder_revision == "colour-1-64"
    )
    payload, _ = stored(runtime)["3.png"]
    assert payload["tags"] == ["t3"] and payload["clusters"]["mood-1"] == {
        "id": "3",
        "path": ["root", "root-3"],
    }
    ids = {id_of(n) for n in range(IMAGES)}
    assert all({node.medoid, *node.representatives} <= ids for node in run.nodes.values())


def test_the_next_run_replaces_it_and_the_same_seed_gives_the_same(runtime: Runtime) -> None:
    first = {}
    for number, seed in enumerate((0, 5, 0)):
        report = cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(4, 10, seed=seed)))
        assert report.key == ("look-1", "look-2", "look-1")[number]
        check(runtime)
        first[number] = dict(runtime.clusters.get(CATEGORY, "look").nodes)
    assert first[0] == first[2] != first[1]


def test_nothing_is_seen_of_a_run_that_was_stopped_and_the_next_completes(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PAGE", 20)
    cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    before, stop = dict(runtime.clusters.get(CATEGORY, "look").nodes), threading.Event()
    write = PayloadWriter.write

    def stopping(self: PayloadWriter, *given: Any) -> int:
        stop.set()
        return write(self, *given)

    monkeypatch.setattr(PayloadWriter, "write", stopping)
    report = cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 10)), stop=stop)
    assert (report.status, report.written, report.in_service) == ("interrupted", 20, False)
    assert keys(runtime) == {"look-1": IMAGES, "look-2": 20}
    assert dict(runtime.clusters.get(CATEGORY, "look").nodes) == before
    assert runtime.searcher.count(CATEGORY, Conditions(clusters={"look": "root"})) == IMAGES
    monkeypatch.setattr(PayloadWriter, "write", write)
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 10)))
    check(runtime)


@pytest.mark.parametrize("stage", ["reading", "clustering", "writing"])
def test_ctrl_c_in_any_stage_leaves_what_was(runtime: Runtime, stage: str) -> None:
    cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    created = runtime.clusters.get(CATEGORY, "look").created_at

    class Interrupting:
        def start(self, name: str, total: int | None) -> None:
            if name == stage:
                raise KeyboardInterrupt

        def update(self, report: object) -> None: ...

        def finish(self, report: object) -> None: ...

    report = cluster(
        runtime,
        CATEGORY,
        "look",
        fit_tree(OPTIONS),
        progress=Interrupting(),
    )
    assert report.interrupted and report.exit_code == 130
    assert runtime.clusters.get(CATEGORY, "look").created_at == created
    cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    check(runtime)


def test_images_that_come_in_while_it_is_written_get_their_node(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch, extra = runtime.clusters.put_in_service, unit_rows(40, 64, 77)

    def add(numbers: range) -> None:
        points = [Point(id_of(1_000 + n), {"colour": extra[n]}, {"filename": f"new{n}.png"}) for n in numbers]
        runtime.vectors.upsert(CATEGORY, points)

    write, coming = PayloadWriter.write, [range(40)]

    def adding(self: PayloadWriter, *given: Any) -> int:
        if coming:
            add(coming.pop())
        return write(self, *given)

    monkeypatch.setattr(PayloadWriter, "write", adding)
    report = cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    assert report.written == IMAGES + 40 and switch
    check(runtime)


def test_images_that_are_deleted_meanwhile_are_passed_over(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = ClusterStore.save

    def deleting(self: ClusterStore, category: str, run: Any) -> Any:
        runtime.vectors.delete(CATEGORY, [id_of(3), id_of(4)])
        return save(self, category, run)

    monkeypatch.setattr(ClusterStore, "save", deleting)
    assert cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS)).written == IMAGES - 2
    check(runtime)


def record(seed: int) -> ImageRecord:
    return ImageRecord(f"{seed}.png", f"{seed}.png", lambda: picture(seed))


def test_new_images_get_their_node_as_they_are_indexed(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    index_images([record(n) for n in range(40)], runtime, CATEGORY)
    cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    cluster(runtime, CATEGORY, "mood", fit_tree(TreeOptions(2, 5)))
    report = index_images([record(n) for n in range(30, 60)], runtime, CATEGORY)
    assert (report.added, report.notes) == (20, [])
    images = stored(runtime)
    assert len(images) == 60
    for name in ("look", "mood"):
        run = runtime.clusters.get(CATEGORY, name)
        for payload, vectors in images.values():
            [path] = run.assign(vectors["colour"][None])
            assert payload["clusters"][run.key]["path"] == list(path)
    delete_run(runtime, CATEGORY, "look")
    index_images([record(70)], runtime, CATEGORY)
    assert set(stored(runtime)["70.png"][0]["clusters"]) == {"mood-1"}


def test_new_images_without_the_vector_of_a_run_are_told_of(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, ColourEncoder("one", 16), ColourEncoder("two", 32))
    index_images([record(n) for n in range(20)], runtime, CATEGORY)
    runtime.catalog.promote(CATEGORY, "best", "one")
    cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS), using="best")
    assert runtime.clusters.get(CATEGORY, "look").using == "one"
    runtime.catalog.promote(CATEGORY, "best", "two")
    report = index_images([record(50)], runtime, CATEGORY)
    assert len(report.notes) == 1 and "run the clustering again" in report.notes[0]
    assert "clusters" not in stored(runtime)["50.png"][0]


def test_assign_gives_nodes_to_those_that_have_none(runtime: Runtime) -> None:
    cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    runtime.vectors.delete_payload(CATEGORY, [id_of(1), id_of(20)], ["clusters.look-1"])
    runtime.vectors.upsert(CATEGORY, [Point(id_of(999), {}, {"filename": "bare.png"})])
    [report] = assign_missing(runtime, CATEGORY)
    assert (report.written, report.interrupted) == (2, False)
    assert [report.written for report in assign_missing(runtime, CATEGORY, ["look"])] == [0]
    runtime.vectors.delete(CATEGORY, [id_of(999)])
    check(runtime)
    with pytest.raises(NotFound):
        assign_missing(runtime, CATEGORY, ["mood"])


def test_deleting_a_run_takes_it_from_the_images(runtime: Runtime) -> None:
    cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    delete_run(runtime, CATEGORY, "look")
    assert not keys(runtime) and [stat.key for stat in runtime.objects.list(CLUSTERS)] == [
        f"{CLUSTERS}{CATEGORY}/current.json"
    ]
    with pytest.raises(NotFound):
        delete_run(runtime, CATEGORY, "look")
    cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
    runtime.clusters.withdraw(CATEGORY, "look")  # a deletion that was killed
    delete_run(runtime, CATEGORY, "look")
    assert not keys(runtime)


def test_names_come_from_what_stands_out(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    corners = np.repeat(np.eye(3, 64, dtype=np.float32), 20, axis=0) + 0.05 * unit_rows(60, 64)
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    words = [("boat", "water"), ("cat", "pet"), ("dog", "pet")]
    points = [
        Point(
            id_of(n),
            {"colour": row},
            {"filename": f"{n}.png", "tags": [words[n // 20][1], "picture"], "class": words[n // 20][0]},
        )
        for n, row in enumerate(corners)
    ]
    runtime.vectors.upsert(CATEGORY, points)
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 20, 1)))
    nodes = runtime.clusters.get(CATEGORY, "look").nodes
    assert {node.name for id, node in nodes.items() if id != "root"} == {"water", "cat, pet", "dog, pet"}
    assert nodes["root"].name == ""


def test_telling_words_against_their_definition() -> None:
    everywhere = Counter({0: 50, 1: 10, 2: 12, 3: 100, 4: 1})
    inside = Counter({0: 10, 1: 8, 2: 3, 3: 20, 4: 1})
    # of 20 images out of 100: word 0 has lift 1, 2 too small a share, 3 is everywhere, 4 is one image
    assert telling(inside, 20, everywhere, 100) == [1]


def test_what_cannot_be_clustered(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(UnknownVector):
        cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS), using="nothing")
    with pytest.raises(NotFound):
        cluster(runtime, "nowhere", "look", fit_tree(OPTIONS))
    with pytest.raises(BadRequest, match="cannot name"):
        cluster(runtime, CATEGORY, "a.b", fit_tree(OPTIONS))
    with pytest.raises(BadRequest):
        TreeOptions(1)
    with pytest.raises(BadRequest, match="no images"):
        cluster(make_runtime(tmp_path / "empty"), CATEGORY, "look", fit_tree(OPTIONS))


# Kills
# ------------------------------------------------------------------------------------------------------------

KILLS = 3
CODE = """
from pathlib import Path
from vitrine.indexer.job import payload_writer
payload_writer.PAGE = 10
from vitrine.indexer.enrich.clusters import runs
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.services.runtime import open_runtime
from vitrine.services.settings import Settings

def work(data, category, seed):
    with open_runtime(Settings(data=Path(data), min_free_mb=0, _env_file=None)) as runtime:
        runtime.vectors.count(category)  # the engine starts with the first question
        print(runtime.vectors.engine_pid, flush=True)
        fit = runs.fit_tree(TreeOptions(branching=4, leaf_size=10, seed=int(seed)))
        report = runs.cluster(runtime, category, "look", fit, progress=Teller())
        print("end", report.key, flush=True)

serve(work)
"""


def test_kills_leave_no_half_written_run_in_service(tmp_path: Path) -> None:
    data, chance = tmp_path / "data", random.Random(5)
    settings = Settings(data=data, min_free_mb=0, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    with program(tmp_path, CODE) as clustering:
        with open_runtime(settings) as runtime:
            runtime.catalog.create(CATEGORY, [runtime.encoders.register(ColourEncoder()).spec])
            fill(runtime, IMAGES)
            cluster(runtime, CATEGORY, "look", fit_tree(OPTIONS))
            check(runtime)
        for number in range(KILLS):
            clustering.kill(data, CATEGORY, number + 1, after=chance.randrange(4, 24), engine=number % 2 == 1)
            with open_runtime(settings) as runtime:
                run = runtime.clusters.get(CATEGORY, "look")  # whole, whichever it is
                counts = Counter(
                    id for p, _ in stored(runtime).values() for id in p["clusters"][run.key]["path"]
                )
                assert counts == {id: node.count for id, node in run.nodes.items()}
                assert all(p["clusters"][run.key]["path"] == list(path_of(p["clusters"][run.key]["path"][-1]))
                           for p, _ in stored(runtime).values())  # fmt: skip
                for id, count in counts.items():
                    assert runtime.searcher.count(CATEGORY, Conditions(clusters={"look": id})) == count
        assert clustering.finish(data, CATEGORY, 9).split()[0] == "end"
    with open_runtime(settings) as runtime:
        assert runtime.clusters.get(CATEGORY, "look").seed == 9
        check(runtime)
