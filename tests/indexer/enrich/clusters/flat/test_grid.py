from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.indexer.enrich.clusters.blobs import blobs, scattered
from vitrine.indexer.enrich.clusters.agreement import adjusted_rand
from vitrine.indexer.enrich.clusters.flat import grid
from vitrine.indexer.enrich.clusters.flat.grid import COLUMNS, combinations, fit_grid, grid_table, together
from vitrine.indexer.enrich.clusters.flat.methods import METHODS
from vitrine.indexer.export.clusters.plots import draw_grid
from vitrine.services.errors import BadRequest


def test_the_best_of_the_grid_is_chosen_without_the_truth() -> None:
    x, truth = blobs()
    told: list[tuple[int, int]] = []
    found = fit_grid(
        x, "kmeans", {"clusters": [2, 3, 9]}, seed=2, progress=lambda done, total: told.append((done, total))
    )
    assert found.chosen.parameters == {"clusters": 3} and adjusted_rand(found.labels, truth) == 1
    assert [row.scores.clusters for row in found.rows] == [2, 3, 9] and told == [(1, 3), (2, 3), (3, 3)]
    assert found.chosen.rank == min(row.rank for row in found.rows) and not found.interrupted


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_grid_of_its_own(method: str) -> None:
    pytest.importorskip("sklearn")
    x, _ = blobs((60, 50, 40))
    found = fit_grid(x, method)
    assert len(found.rows) >= 3 and found.best is not None


def test_a_person_can_choose_another() -> None:
    found = fit_grid(blobs()[0], "agglomerative", {"clusters": [2, 3], "linkage": ["average", "ward"]})
    other = found.choose(1)
    assert other.chosen.parameters == {"linkage": "average", "clusters": 2} and other.chosen_by == "hand"
    assert other.labels.max() == 1 and other.rows == found.rows
    for number in (0, 5):
        with pytest.raises(BadRequest, match="from 1 to 4"):
            found.choose(number)


def test_a_grid_is_every_combination_once() -> None:
    assert combinations("agglomerative", {"clusters": [2, 3, 2], "linkage": ["ward", "average"]}) == [
        {"linkage": "ward", "clusters": 2},
        {"linkage": "ward", "clusters": 3},
        {"linkage": "average", "clusters": 2},
        {"linkage": "average", "clusters": 3},
    ]
    for parameters in ({"clusters": []}, {"clusters": range(1, 502)}):
        with pytest.raises(BadRequest, match="500 fits at most"):
            combinations("kmeans", parameters)
    with pytest.raises(BadRequest, match="takes"):
        combinations("kmeans", {"clusters": [2], "eps": [0.1]})


def test_fits_that_fail_or_cannot_be_judged_come_last_and_say_so() -> None:
    x, _ = blobs()
    found = fit_grid(x, "kmeans", {"clusters": [1, 3, 1_000]})
    assert [row.remark for row in found.rows][1] == "" and found.best == 1
    assert "fewer than two" in found.rows[0].remark and "cannot be put into 1000" in found.rows[2].remark
    assert found.rows[0].rank == found.rows[2].rank > found.rows[1].rank
    with pytest.raises(BadRequest, match="to choose"):
        found.choose(3)
    nothing = fit_grid(x, "kmeans", {"clusters": [1]})
    assert nothing.best is None
    with pytest.raises(BadRequest, match="try other parameters"):
        assert nothing.labels


def test_a_choice_with_much_noise_says_so() -> None:
    pytest.importorskip("sklearn")
    x = np.concatenate([blobs((40, 40))[0], scattered(20, dim=blobs()[0].shape[1])])
    found = fit_grid(x, "dbscan", {"eps": [0.05], "min_samples": [5]})
    assert found.chosen.scores.noise > 0.1 and "20% of the images as noise" in found.notes[0]
    assert fit_grid(x, "kmeans", {"clusters": [2]}).notes == []


def test_methods_are_ranked_together() -> None:
    x, truth = blobs()
    one, other = fit_grid(x, "kmeans", {"clusters": [2]}), fit_grid(x, "agglomerative", {"clusters": [3, 4]})
    both = together([one, other])
    assert both.best == 1 and both.chosen.method == "agglomerative" and adjusted_rand(both.labels, truth) == 1


def test_a_stopped_grid_keeps_what_it_has() -> None:
    stop = threading.Event()
    x, _ = blobs()
    found = fit_grid(x, "kmeans", {"clusters": [2, 3, 4]}, stop=stop, progress=lambda done, total: stop.set())
    assert found.interrupted and len(found.rows) == 1
    with pytest.raises(InterruptedError):
        fit_grid(x, "kmeans", {"clusters": [2]}, stop=stop)


def test_a_grid_stopped_within_a_fit_keeps_the_fits_before() -> None:
    class SetAfter(threading.Event):
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 60

    x, _ = blobs((20, 20))
    found = fit_grid(x, "agglomerative", {"clusters": [2], "linkage": ["average", "ward"]}, stop=SetAfter())
    assert found.interrupted and [row.parameters["linkage"] for row in found.rows] == ["average"]


def test_table_json_and_picture_tell_every_fit(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = fit_grid(blobs()[0], "kmeans", {"clusters": [1, 2, 3]})
    tree = json.loads(json.dumps(found.to_json(), allow_nan=False))
    table = grid_table(tree)
    assert all(len(line) == len(COLUMNS) for line in table) and [line[1] for line in table] == ["", "", "*"]
    assert tree["best"] == 3 and [row["parameters"]["clusters"] for row in tree["rows"]] == [1, 2, 3]
    assert draw_grid(tree, tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")


def test_eps_of_the_default_grid_follow_the_data() -> None:
    tight, loose = (grid.default_grid(blobs(spread=spread)[0], "dbscan", {}) for spread in (0.01, 0.1))
    assert max(tight["eps"]) < min(loose["eps"])
    assert grid.default_grid(scattered(6), "kmeans", {})["clusters"] == [2]
