"""``vitrine metric promote`` and ``rollback`` with encoders as training saves them, on the embedded
engine. None of it needs torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from tests.cli.conftest import COLOURS, Answer, Run, environment
from vitrine.cli.main import VitrineGroup
from vitrine.cli.metric import promote as metric_promote
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.families.metric_config import (
    EMBEDDER,
    SPLIT,
    MetricConfig,
    TrunkReference,
    write_config,
)
from vitrine.services.encoders.reference import COLOUR_MODEL
from vitrine.services.images.open import content_hash

EACH = 14
app = typer.Typer(cls=VitrineGroup)
metric = typer.Typer()
metric.command("promote")(metric_promote.promote)
metric.command("rollback")(metric_promote.rollback)
app.add_typer(metric, name="metric")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen noisy pictures of each colour: ``<colour>/<number>.png``."""
    folder, random = tmp_path_factory.mktemp("shop"), np.random.default_rng(3)
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for number in range(EACH):
            noise = random.integers(-60, 60, (24, 24, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def split(shop: Path, held_out: int = EACH // 2, protocol: str = "by-image") -> dict[str, Any]:
    """So many pictures of each colour are held out."""
    hashes = {path: content_hash(path.read_bytes()) for path in sorted(shop.rglob("*.png"))}
    test = [name for path, name in hashes.items() if int(path.stem) < held_out]
    train = [name for path, name in hashes.items() if int(path.stem) >= held_out]
    classes = {name: path.parent.name for path, name in hashes.items()}
    return {"protocol": protocol, "train": train, "validation": [], "test": test, "classes": classes}


def save(
    folder: Path,
    tree: Mapping[str, Any],
    *,
    good: bool,
    seed: int = 0,
    metrics: Mapping[str, Any] | None = None,
) -> Path:
    """An encoder behind the encoder of colours; a bad one gives nearly the same embedding to every
    picture."""
    colours = ColourEncoder().spec
    weight, bias = np.eye(colours.dim, dtype=np.float32), np.zeros(colours.dim, np.float32)
    if not good:
        weight, bias = np.zeros_like(weight), np.random.default_rng(seed).normal(size=colours.dim)
        weight[0, 0] = 1e-3
    folder.mkdir(parents=True)
    embedder = {
        "mean": np.zeros(colours.dim, np.float32),
        "scale": np.ones(colours.dim, np.float32),
        "layers.1.weight": weight,
        "layers.1.bias": bias.astype(np.float32),
    }
    save_file(embedder, folder / EMBEDDER)
    (folder / SPLIT).write_text(json.dumps(tree))
    about = MetricConfig(
        "look",
        "frozen",
        TrunkReference(COLOUR_MODEL, colours.revision),
        "float32",
        colours.preprocessing,
        {"input_dim": colours.dim, "layers": [colours.dim]},
        tuple(COLOURS),
        "sha256:0",
        "",
        metrics or {},
    )
    write_config(folder, about)
    return folder


@pytest.fixture
def promoting(vitrine: Run, shop: Path, empty_data: Path) -> Run:
    """``vitrine metric`` on a category ``shop`` with all pictures."""
    assert (
        vitrine("index", "add", shop, "-c", "shop", "--create", "--class-from", "folder", "--json").code == 0
    )

    def run(*arguments: object) -> Answer:
        result = CliRunner().invoke(app, ["metric", *map(str, arguments)], env=environment(empty_data))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


def test_a_worse_one_is_refused_a_better_one_serves_and_rolls_back(
    promoting: Run, vitrine: Run, shop: Path, tmp_path: Path, empty_data: Path
) -> None:
    bad, good = (
        save(tmp_path / "bad", split(shop), good=False),
        save(tmp_path / "good", split(shop), good=True),
    )
    refused = promoting("promote", bad, "-c", "shop", "--name", "look", "--json")
    assert refused.code == 1 and refused.json["error"]["code"] == "worse_encoder"
    details = refused.json["error"]["details"]
    assert details["candidate"]["recall_at_1"] < details["incumbent"]["recall_at_1"]
    assert details["measured_on"] == "21 held-out images of the category, among 21 training images"
    assert vitrine("category", "show", "shop", "--json").json["promoted"] == {}
    assert (
        "against recall@1" in refused.json["error"]["message"]
        and "of colour" in refused.json["error"]["message"]
    )
    assert not (empty_data / "objects" / "_encoders").exists() and not (empty_data / "cache").exists()
    assert [spec["name"] for spec in vitrine("category", "show", "shop", "--json").json["encoders"]] == [
        "colour"
    ]

    forced = promoting("promote", bad, "-c", "shop", "--name", "look", "--force", "--json")
    assert (forced.code, forced.json["using"], forced.json["fill"]["filled"]) == (0, "look-1", 3 * EACH)
    better = promoting("promote", good, "-c", "shop", "--name", "look", "--json")
    assert (better.code, better.json["using"], better.json["former"]) == (0, "look-2", "look-1")
    assert better.json["comparison"]["incumbent"]["encoder"] == "look-1"
    category = vitrine("category", "show", "shop", "--json").json
    assert (category["promoted"], category["default"]) == ({"look": ["look-2", "look-1"]}, "look")
    found = vitrine(
        "search", "-c", "shop", "--image", shop / "red" / "3.png", "--using", "look", "-n", 5, "--json"
    ).json
    assert found["encoder"]["name"] == "look-2" and found["hits"][0]["similarity"] == pytest.approx(
        1.0, abs=1e-3
    )
    assert {hit["payload"]["class"] for hit in found["hits"]} == {"red"}

    assert (
        vitrine("category", "default", "shop").out
        == "Queries of 'shop' without --using are answered by look (now look-2).\n"
    )
    chosen = vitrine("category", "default", "shop", "colour", "--json").json
    assert chosen == {"category": "shop", "default": "colour", "vector": "colour", "before": "look-2"}
    assert (
        vitrine("category", "default", "shop", "nothing", "--json").json["error"]["code"] == "unknown_vector"
    )

    back = promoting("rollback", "look", "-c", "shop", "--json")
    assert (back.code, back.json["using"], back.json["fill"]["filled"]) == (0, "look-1", 0)
    assert "answered by look-2 now" in promoting("rollback", "look", "-c", "shop").out


def test_the_first_promotion_rolls_back_to_the_former_default(
    promoting: Run, vitrine: Run, shop: Path, tmp_path: Path
) -> None:
    assert promoting("promote", save(tmp_path / "good", split(shop), good=True), "-c", "shop").code == 0
    back = promoting("rollback", "look", "-c", "shop", "--json").json
    assert (back["using"], back["former"], back["default_only"]) == ("colour", "look-1", True)
    assert vitrine("category", "show", "shop", "--json").json["default"] is None
    found = vitrine("search", "-c", "shop", "--image", shop / "red" / "3.png", "--json").json
    assert found["encoder"]["name"] == "colour"
    assert "answered by look-1 now, not by colour" in promoting("rollback", "look", "-c", "shop").out


def test_by_class_the_held_out_are_sought_among_each_other(
    promoting: Run, shop: Path, tmp_path: Path
) -> None:
    answer = promoting(
        "promote",
        save(tmp_path / "good", split(shop, protocol="by-class"), good=True),
        "-c",
        "shop",
        "--json",
    )
    assert answer.code == 0, answer.err
    assert answer.json["alias"] == "look"
    assert answer.json["comparison"]["measured_on"] == "21 held-out images of the category, among each other"


def test_with_few_held_out_images_the_figures_of_the_training_decide(
    promoting: Run, shop: Path, tmp_path: Path
) -> None:
    few = split(shop, held_out=2)
    worse = {
        "candidate": {"precision_at_1": 0.5, "map_at_r": 0.4},
        "trunk": {"precision_at_1": 0.6, "map_at_r": 0.3},
    }
    answer = promoting(
        "promote", save(tmp_path / "worse", few, good=True, metrics=worse), "-c", "shop", "--json"
    )
    assert answer.json["error"]["code"] == "worse_encoder"
    assert "0.5000" in answer.json["error"]["message"] and "0.6000" in answer.json["error"]["message"]
    equal = {
        "candidate": {"precision_at_1": 0.6, "map_at_r": 0.3},
        "trunk": {"precision_at_1": 0.6, "map_at_r": 0.3},
    }
    answer = promoting(
        "promote",
        save(tmp_path / "equal", few, good=True, metrics=equal),
        "-c",
        "shop",
        "--json",
        "--keep-default",
    )
    assert answer.json["comparison"]["measured_on"] == "the test images of the training run"
    again = promoting("promote", tmp_path / "equal", "-c", "shop", "--json")
    assert (again.code, again.json["comparison"], again.json["reused"]) == (0, None, True)


def test_what_is_no_trained_encoder(
    promoting: Run, vitrine: Run, tmp_path: Path, empty_data: Path, shop: Path
) -> None:
    assert (
        promoting("promote", tmp_path / "nothing", "-c", "shop", "--json").json["error"]["code"]
        == "bad_request"
    )
    assert promoting("rollback", "look", "-c", "shop", "--json").json["error"]["code"] == "not_found"
    save(empty_data / "encoders" / "named", split(shop), good=True)
    assert promoting("promote", "named", "-c", "shop", "--force").code == 0


def test_an_encoder_added_later_is_filled(promoting: Run, vitrine: Run) -> None:
    answer = vitrine("category", "add-encoder", "shop", "second=vitrine/colour")
    assert "vitrine category fill shop" in answer.err
    filled = vitrine("category", "fill", "shop", "--json")
    assert (filled.code, [(report["using"], report["filled"]) for report in filled.json["vectors"]]) == (
        0, [("colour", 0), ("second", 3 * EACH)],
    )  # fmt: skip
    assert "second: 0 images embedded" in vitrine("category", "fill", "shop", "--using", "second").out
    assert (
        vitrine("category", "fill", "shop", "--using", "nothing", "--json").json["error"]["code"]
        == "unknown_vector"
    )


def test_a_default_that_images_lack_is_told(promoting: Run, vitrine: Run) -> None:
    assert vitrine("category", "add-encoder", "shop", "second=vitrine/colour").code == 0
    told = vitrine("category", "default", "shop", "second")
    assert told.code == 0 and f"{3 * EACH} images lack its vector" in told.err
    assert vitrine("category", "fill", "shop").code == 0
    assert "lack" not in vitrine("category", "default", "shop").err
