"""Names from a list of words: known geometry, and whole runs with the colour encoder, which reads colour
words."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.indexer.enrich.scores.heads import id_of
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.runs import cluster, fit_tree
from vitrine.indexer.enrich.clusters.words import best_words, name_by_words
from vitrine.services.artifacts.clusters import ClusterStore, Node
from vitrine.services.domain import Embeddings, Point
from vitrine.services.encoders.families.fake import COLOURS, ColourEncoder
from vitrine.services.errors import BadRequest, NotFound, UnknownVector
from vitrine.services.object_store.keys import CLUSTERS
from vitrine.services.runtime import Runtime

WORDS = ["red", "blue", "green", "something", "anything at all", "grey red green blue"]
GROUPS = ("red", "blue", "green")


class Mute(ColourEncoder):
    """Sees colours, reads nothing."""

    def __init__(self, name: str = "mute") -> None:
        super().__init__(name)
        spec = self._spec
        self._spec = type(spec)(name, spec.model, "mute-1", spec.dim, ("image",), spec.preprocessing)


def fill(runtime: Runtime, *, tags: bool = False, using: tuple[str, ...] = ("colour",)) -> None:
    """30 images of three colours, near to their words."""
    draw = np.random.default_rng(3)
    rows = np.repeat(ColourEncoder().encode_texts(list(GROUPS)), 10, axis=0) + 0.05 * draw.normal(
        size=(30, 64)
    )
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    payloads = [{"class": GROUPS[n // 10], "tags": ["ruby"] if tags and n < 10 else []} for n in range(30)]
    points = [Point(id_of(n), dict.fromkeys(using, rows[n]), payload) for n, payload in enumerate(payloads)]
    runtime.vectors.upsert(CATEGORY, points)


def node(id: str, count: int, children: tuple[str, ...] = ()) -> Node:
    return Node(id, None, id.count("-"), count, "", (), 1.0, children=children)


def unit(*rows: list[float]) -> Embeddings:
    found = np.array(rows, np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_generic_word_wins_nowhere_and_each_node_gets_its_own() -> None:
    nodes = {
        one.id: one for one in (node("root", 10, ("root-0", "root-1")), node("root-0", 5), node("root-1", 5))
    }
    centres = np.array([[0.2, 0.2, 0.9], [0.3, 0.1, 0.9], [0.1, 0.3, 0.9]], np.float32)
    words = unit([0, 0, 1], [1, 0, 0.5], [0, 1, 0.5])
    assert (centres[1:] @ words.T).argmax(axis=1).tolist() == [0, 0]  # the generic word is nearest to both
    best = best_words(nodes, centres, np.array([10, 5, 5]), words)
    assert {id: number for id, (number, _) in best.items()} == {"root-0": 1, "root-1": 2}
    assert best["root-0"][1] == pytest.approx((centres[1] - centres[0]) @ words[1])


def test_the_score_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    nodes = {
        one.id: one
        for one in (node("root", 9, ("root-0", "root-1", "root-noise")), node("root-0", 6), node("root-1", 3))
    }
    nodes["root-noise"] = node("root-noise", 0)
    centres, words = draw.normal(size=(4, 5)).astype(np.float32), draw.normal(size=(7, 5)).astype(np.float32)
    found = best_words(nodes, centres, np.array([9, 6, 3, 0]), words)
    for row, id in ((1, "root-0"), (2, "root-1")):
        scores = []
        for word in words:
            lift = [
                sum(float(a - b) * float(w) for a, b, w in zip(centres[at], centres[0], word, strict=True))
                for at in (1, 2)
            ]
            spread = (6 / 9 * lift[0] ** 2 + 3 / 9 * lift[1] ** 2) ** 0.5
            scores.append(lift[row - 1] / spread**0.5)
        assert found[id][0] == scores.index(max(scores))
    assert found.keys() == {"root-0", "root-1"}
    monkeypatch.setattr("vitrine.indexer.enrich.clusters.words._LIFTS", 9)  # two words at a time
    in_parts = best_words(nodes, centres, np.array([9, 6, 3, 0]), words)
    assert {id: number for id, (number, _) in in_parts.items()} == {
        id: number for id, (number, _) in found.items()
    }
    assert {id: lift for id, (_, lift) in in_parts.items()} == pytest.approx(
        {id: lift for id, (_, lift) in found.items()}
    )


def test_a_run_is_named_and_named_again(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    fill(runtime, tags=True)
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 10, 1)))
    for id, one in runtime.clusters.get(CATEGORY, "look").nodes.items():
        assert one.named_by == ("tags" if id != "root" else "") == ("tags" if one.name else "")
    strip_classes(runtime)
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 10, 1)))
    other = ClusterStore(runtime.objects)  # as another process has it
    assert [one.name for one in other.get(CATEGORY, "look").nodes.values()].count("") == 3
    report = name_by_words(runtime, CATEGORY, "look", WORDS, "{}")
    assert (report.named, report.by_tags, report.images, report.using) == (2, 1, 30, "colour")
    run = runtime.clusters.get(CATEGORY, "look")
    assert sorted(one.name for one in run.nodes.values()) == ["", "blue", "green", "ruby"]
    assert {word for word, _ in report.words.values()} == set(GROUPS)  # also where tags name it
    assert run.parameters["words"] == {"count": 6, "prompt": "{}", "using": "colour"}
    time.sleep(1.1)  # what another process sees is a second old at most
    assert dict(other.get(CATEGORY, "look").nodes) == dict(run.nodes)
    name_by_words(runtime, CATEGORY, "look", ["pink", "purple", "teal"], "{}")
    assert {one.name for one in runtime.clusters.get(CATEGORY, "look").nodes.values()} & {
        "blue",
        "green",
    } == set()
    assert "ruby" in {one.name for one in runtime.clusters.get(CATEGORY, "look").nodes.values()}
    assert sum("." in stat.key.rpartition("/")[2] for stat in runtime.objects.list(CLUSTERS)) == 3


def strip_classes(runtime: Runtime) -> None:
    runtime.vectors.delete_payload(CATEGORY, [id_of(n) for n in range(30)], ["class"])


def test_the_words_are_read_by_another_vector_where_the_runs_reads_none(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, Mute(), ColourEncoder())
    fill(runtime, using=("mute", "colour"))
    strip_classes(runtime)
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 10, 1)))
    report = name_by_words(runtime, CATEGORY, "look", WORDS, "{}")
    assert (report.using, report.images, report.named) == ("colour", 30, 3)
    assert {one.name for one in runtime.clusters.get(CATEGORY, "look").nodes.values()} == {"", *GROUPS}
    with pytest.raises(BadRequest, match="reads no text"):
        name_by_words(runtime, CATEGORY, "look", WORDS, using="mute")
    with pytest.raises(UnknownVector):
        name_by_words(runtime, CATEGORY, "look", WORDS, using="nope")


def test_a_naming_that_is_stopped_renames_nothing(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, Mute(), ColourEncoder())
    fill(runtime, using=("mute", "colour"))
    strip_classes(runtime)
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 10, 1)))
    stop = threading.Event()
    stop.set()
    report = name_by_words(runtime, CATEGORY, "look", WORDS, "{}", stop=stop)
    assert (report.status, report.exit_code, report.named) == ("interrupted", 130, 0)
    assert "Interrupted" in report.summary()
    assert {one.name for one in runtime.clusters.get(CATEGORY, "look").nodes.values()} == {""}


def test_what_cannot_be_named(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, Mute())
    fill(runtime, using=("mute",))
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 10, 1)))
    with pytest.raises(BadRequest, match="add-encoder"):
        name_by_words(runtime, CATEGORY, "look", WORDS)
    runtime.catalog.add_encoder(CATEGORY, runtime.encoders.register(ColourEncoder()).spec)
    with pytest.raises(BadRequest, match="fill it first"):
        name_by_words(runtime, CATEGORY, "look", WORDS)
    for words, prompt in ((WORDS, "no place"), (WORDS, "{} {}"), ([], "{}")):
        with pytest.raises(BadRequest):
            name_by_words(runtime, CATEGORY, "look", words, prompt)
    with pytest.raises(NotFound):
        name_by_words(runtime, CATEGORY, "nope", WORDS)


def test_a_run_that_was_replaced_meanwhile_is_not_renamed(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    fill(runtime)
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 10, 1)))
    old = runtime.clusters.get(CATEGORY, "look")
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(2, 10, 1)))
    new = runtime.clusters.get(CATEGORY, "look")
    with pytest.raises(NotFound, match="replaced meanwhile"):
        runtime.clusters.rename(CATEGORY, old, old.nodes, {})
    assert runtime.clusters.get(CATEGORY, "look") is new


def test_all_colour_words_are_known() -> None:
    assert set(GROUPS) <= COLOURS.keys()
