"""Agreement with the run before and with other seeds, and of stored runs, against plain loops over pairs."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.indexer.enrich.scores.heads import fill, id_of, stored
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.indexer.enrich.clusters.agree import agree, agree_with_field
from vitrine.indexer.enrich.clusters.agreement import Leaves, adjusted_rand, former_agreement, seed_agreement
from vitrine.indexer.enrich.clusters.flat.flat_run import FlatFit
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.runs import Again, cluster, fit_tree
from vitrine.indexer.enrich.clusters.tree.tree import Tree
from vitrine.services.artifacts.clusters import path_of
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.runtime import Runtime

IMAGES = 90
SMALL = TreeOptions(3, 8, 3)


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    made = make_runtime(tmp_path)
    fill(made, IMAGES, {n: {"class": "abc"[n % 3], "tags": ["x"]} for n in range(80)})
    return made


def pairs_agreement(one: list[Any], other: list[Any]) -> float:
    """Adjusted Rand index by looking at every pair."""
    both = first = second = 0
    for a, b in combinations(range(len(one)), 2):
        same, also = one[a] == one[b], other[a] == other[b]
        both, first, second = both + (same and also), first + same, second + also
    every = len(one) * (len(one) - 1) / 2
    expected, most = first * second / every, (first + second) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def paths(runtime: Runtime, key: str) -> dict[str, list[str]]:
    return {name: payload["clusters"][key]["path"] for name, (payload, _) in stored(runtime).items()}


def test_adjusted_rand_by_pairs() -> None:
    draw = random.Random(2)
    for groups in (1, 2, 5, 40):
        one, other = ([draw.randrange(groups) for _ in range(40)] for _ in range(2))
        assert adjusted_rand(one, other) == pytest.approx(pairs_agreement(one, other), abs=1e-12)


def test_levels_of_a_tree() -> None:
    tree = Leaves(("root-0-0", "root-0-1", "root-1"), np.array([0, 1, 2, 1], np.int32))
    assert tree.depth == 2
    assert tree.at(1).tolist() == [0, 0, 1, 0] and tree.at(2).tolist() == tree.at(None).tolist() == [
        0,
        1,
        2,
        1,
    ]


def test_only_images_that_both_have_count() -> None:
    tree = Tree({}, ("root-0", "root-1"), np.array([0, 0, 1, 1, 0], np.int32))
    assert former_agreement(["root-3-0", "root-3-1", "", "root-4", ""], tree) == {
        "images": 3, "ari": round(pairs_agreement([0, 1, 2], [0, 0, 1]), 6), "ari_first_level": 1.0,
    }  # fmt: skip
    assert former_agreement(["", "", "", "", ""], tree) == former_agreement([], tree) == {}


def test_a_run_says_how_far_it_agrees_with_the_one_it_replaces(runtime: Runtime) -> None:
    report = cluster(runtime, CATEGORY, "look", fit_tree(SMALL))
    assert "former" not in report.metrics
    before = paths(runtime, report.key)
    runtime.vectors.delete(CATEGORY, [id_of(3)])
    report = cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 8, 3, seed=9)))
    after, former = paths(runtime, report.key), report.metrics["former"]
    names = sorted(after)
    assert (former["key"], former["seed"], former["images"]) == ("look-1", 0, IMAGES - 1)
    leaves = [before[n][-1] for n in names], [after[n][-1] for n in names]
    assert former["ari"] == pytest.approx(pairs_agreement(*leaves), abs=1e-6)
    assert former["ari_first_level"] == pytest.approx(
        pairs_agreement([before[n][1] for n in names], [after[n][1] for n in names]), abs=1e-6
    )
    assert runtime.clusters.get(CATEGORY, "look").metrics["former"] == former
    assert (
        "agreement with the run it replaces (ARI)" in report.summary()
        and report.to_json()["metrics"]["former"] == former
    )
    assert (
        cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 8, 3, seed=9))).metrics["former"]["ari"]
        == 1.0
    )


def test_other_seeds_are_judged_level_by_level(runtime: Runtime) -> None:
    seen: list[Tree] = []

    def kept(seed: int) -> Any:
        made = fit_tree(TreeOptions(3, 8, 3, seed=seed))

        def fit(images: Any, told: Any) -> Any:
            fitted = made(images, told)
            seen.append(fitted.tree)
            return fitted

        return fit

    report = cluster(runtime, CATEGORY, "look", kept(0), again=Again(kept, [1, 2]))
    found = report.metrics["stability"]
    assert found["seeds"] == [0, 1, 2] and len(seen) == 3 and "other seeds" in report.stages
    leaves = [[tree.leaf_ids[leaf] for leaf in tree.leaves] for tree in seen]
    for level in (None, *range(1, len(found["levels"]) + 1)):
        labels = [
            [path_of(leaf)[-1] if level is None else path_of(leaf)[: level + 1][-1] for leaf in one]
            for one in leaves
        ]
        every = [pairs_agreement(one, other) for one, other in combinations(labels, 2)]
        told = found if level is None else found["levels"][level - 1]
        assert (told["mean"], told["least"]) == (
            pytest.approx(np.mean(every), abs=1e-6),
            pytest.approx(min(every), abs=1e-6),
        )
        assert told["spread"] == pytest.approx(np.std(every), abs=1e-6)
    assert "agreement of 3 seeds (ARI)" in report.summary() and "level 1" in report.summary()


def test_flat_methods_are_fit_again_with_what_was_chosen(runtime: Runtime) -> None:
    flat = FlatFit("kmeans", {"clusters": [3, 5]})
    with pytest.raises(ValueError, match="before"):
        flat.reseeded(1)
    report = cluster(runtime, CATEGORY, "flat", flat, again=Again(flat.reseeded, [1, 2]))
    assert report.metrics["stability"]["seeds"] == [0, 1, 2] and report.metrics["stability"]["levels"] == []
    assert -0.5 <= report.metrics["stability"]["least"] <= report.metrics["stability"]["mean"] <= 1
    ward = FlatFit("agglomerative", {"clusters": [3]})
    assert flat.draws and not ward.draws
    report = cluster(runtime, CATEGORY, "ward", ward, again=Again(ward.reseeded, ()))
    assert report.metrics["stability"] == seed_agreement([Leaves(("root",), np.zeros(1, np.int32))], [0])
    assert "draws nothing" in report.summary()


@pytest.mark.parametrize("level", [None, 1, 2])
def test_two_stored_runs_by_plain_loops(runtime: Runtime, level: int | None) -> None:
    one = cluster(runtime, CATEGORY, "one", fit_tree(SMALL))
    other = cluster(runtime, CATEGORY, "other", fit_tree(TreeOptions(4, 10, 1, seed=3)))
    runtime.vectors.delete_payload(CATEGORY, [id_of(n) for n in range(5)], ["clusters.one-1"])
    told: list[tuple[int, int]] = []
    found = agree(
        runtime, CATEGORY, "one", "other", level=level, advance=lambda done, total: told.append((done, total))
    )
    images = [
        payload["clusters"] for payload, _ in stored(runtime).values() if one.key in payload["clusters"]
    ]
    end = None if level is None else level + 1
    a = [said[one.key]["path"][:end][-1] for said in images]
    b = [said[other.key]["path"][:end][-1] for said in images]
    assert found.images == len(images) == IMAGES - 5 and told[-1] == (IMAGES, IMAGES)
    assert found.ari == pytest.approx(pairs_agreement(a, b), abs=1e-6)
    assert (found.nodes, found.other_nodes) == (len(set(a)), len(set(b)))
    assert [match.images for match in found.matches] == sorted((a.count(id) for id in set(a)), reverse=True)
    for match in found.matches:
        shares = {id: sum(x == match.node and y == id for x, y in zip(a, b, strict=True)) for id in set(b)}
        assert match.shared == max(shares.values()) == shares[match.other]
        assert match.parts == sum(count > 0 for count in shares.values())
        assert match.share == pytest.approx(match.shared / match.images, abs=1e-4)
        either = match.images + b.count(match.other) - match.shared
        assert match.jaccard == pytest.approx(match.shared / either, abs=1e-4)
    assert agree(runtime, CATEGORY, "one", "one").ari == 1.0 == agree(runtime, CATEGORY, "one", "one").nmi


def test_a_run_against_a_field(runtime: Runtime) -> None:
    run = cluster(runtime, CATEGORY, "one", fit_tree(SMALL))
    found = agree_with_field(runtime, CATEGORY, "one", "class", level=1)
    images = [
        (p["clusters"][run.key]["path"][1], p["class"]) for p, _ in stored(runtime).values() if "class" in p
    ]
    nodes, classes = [node for node, _ in images], [value for _, value in images]
    assert (found.images, found.values) == (80, 3)
    assert found.ari == pytest.approx(pairs_agreement(nodes, classes), abs=1e-6)
    most = sum(max(images.count((node, value)) for value in "abc") for node in set(nodes))
    assert found.purity == pytest.approx(most / 80, abs=1e-6)


def test_what_cannot_be_compared(runtime: Runtime) -> None:
    cluster(runtime, CATEGORY, "one", fit_tree(SMALL))
    for call in (
        lambda: agree(runtime, CATEGORY, "one", "one", level=9),
        lambda: agree_with_field(runtime, CATEGORY, "one", "tags"),
        lambda: agree_with_field(runtime, CATEGORY, "one", "metadata.nope"),
    ):
        with pytest.raises(BadRequest):
            call()
    for call in (
        lambda: agree(runtime, CATEGORY, "one", "nope"),
        lambda: agree(runtime, "nope", "one", "one"),
    ):
        with pytest.raises(NotFound):
            call()
    cluster(runtime, CATEGORY, "other", fit_tree(SMALL))
    runtime.vectors.delete_payload(CATEGORY, [id_of(n) for n in range(IMAGES)], ["clusters.other-1"])
    with pytest.raises(BadRequest, match="in both"):
        agree(runtime, CATEGORY, "one", "other")
