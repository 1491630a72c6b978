"""Work on a whole category: taggers, encoders, clusters, maps, duplicates, exports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitrine
from tests.indexer.enrich.vectors.trained import TrainedFamily, trained_folder
from vitrine.indexer.enrich.clusters.options import ClusterOptions
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.services.encoders import registry


@pytest.fixture(scope="module")
def many(library: vitrine.Library) -> Iterator[vitrine.Category]:
    """Sixty noisy cards, half of them red and half of them blue."""
    draw = np.random.default_rng(7)
    category = library.create("many")
    for name, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        noisy = np.clip(np.array(colour) + draw.normal(0, 30, (30, 16, 16, 3)), 0, 255).astype(np.uint8)
        cards = [
            vitrine.NewImage(card, f"{name}-{n}.png", fields={"class": name}) for n, card in enumerate(noisy)
        ]
        category.add(cards, tags=name)
    yield category
    library.delete("many")


def test_taggers_are_trained_and_their_scores_written(many: vitrine.Category) -> None:
    training = many.train_taggers()
    assert {head.tag for head in training.heads} == {"red", "blue"} and training.mean_average_precision > 0.9
    assert many.score("red").written == 60 and many.score("red").written == 0
    hits = many.images(scores={"red": (0.5, None)}, order_by="scores.red:desc")
    assert {hit.class_ for hit in hits} == {"red"} and hits[0].scores["red"] >= hits[-1].scores["red"]
    many.score("red", threshold=0)
    assert many.count({"machine_tag": "red"}) == 30, "people did not say it of the blue ones"
    assert sum(bin.count for bin in many.histogram("scores.red")) == 60
    with pytest.raises(vitrine.NotFound):
        many.score("green")


def test_images_are_clustered(many: vitrine.Category) -> None:
    report = many.cluster("kinds", ClusterOptions(branching=2, leaf_size=40, depth=1))
    assert report.in_service
    nodes = many.facets("cluster.kinds")
    assert nodes["root"] == 60
    one = many.images(where={"cluster.kinds": str(next(node for node in nodes if node != "root"))})
    assert 0 < len(one) < 60


def test_a_map_is_made(many: vitrine.Category) -> None:
    assert many.make_map("plane", MapOptions(method="pca")).written == 60
    assert 0 < many.count({"map.plane.x": (0.5, None)}) < 60
    assert many.make_map("plane", MapOptions(method="pca"), missing=True).written == 0


def test_copies_are_found(empty: vitrine.Category) -> None:
    draw = np.random.default_rng(3)
    picture = Image.fromarray(draw.integers(0, 255, (6, 6, 3), np.uint8)).resize((256, 256))
    other = Image.fromarray(draw.integers(0, 255, (6, 6, 3), np.uint8)).resize((256, 256))
    empty.add([picture, picture.resize((200, 200)), other])
    assert (
        len(empty.find_duplicates(dry_run=True).groups) == 1
        and "duplicate_group" not in empty.images()[0].payload
    )
    report = empty.find_duplicates()
    assert (len(report.groups), report.duplicates) == (1, 1)
    hits = empty.search(image=picture, collapse=True)
    assert len(hits) == 2 and list(hits.similar.values()) == [1]


def test_an_encoder_is_promoted_and_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", [])
    vitrine.register_encoder(TrainedFamily())
    with vitrine.open(tmp_path / "data", encoder="colour", progress=False) as library:
        cards = library.create("cards")
        cards.add([Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")])
        assert cards.promote(trained_folder(tmp_path / "look"), "look").switched
        assert cards.encoders == ["look-1", "colour"]
        assert cards.vectors(cards.images().ids, using="look").shape == (3, 32)
        cards.rollback("look")
        assert cards.encoders[0] == "colour"


def test_thumbnails_are_made_ahead(many: vitrine.Category) -> None:
    report = many.previews(vitrine.PreviewOptions(widths=(160,)))
    assert (report.images, report.filled) == (60, 0) and report.thumbnails in (0, 60)
    assert many.images(limit=1)[0].payload["colour"].startswith("#")
    with pytest.raises(vitrine.BadRequest):
        vitrine.PreviewOptions(widths=("wide",))  # type: ignore[arg-type]


def test_images_are_exported(many: vitrine.Category, tmp_path: Path) -> None:
    report = many.export(tmp_path / "red.json", {"class": "red"})
    rows = json.loads((tmp_path / "red.json").read_text())
    assert report.images == len(rows) == 30 and {row["class"] for row in rows} == {"red"}
    many.export(tmp_path / "by", by="class", mode="copy")
    assert {path.name: len(list(path.iterdir())) for path in (tmp_path / "by").iterdir()} == {
        "red": 30,
        "blue": 30,
    }
    with pytest.raises(vitrine.BadRequest):
        many.export(tmp_path / "red.doc")
