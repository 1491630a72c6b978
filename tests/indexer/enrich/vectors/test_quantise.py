"""int8: quantised on a category's pictures, judged by their neighbours, kept and run where asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import runner
from vitrine.data.pictures import draw_pictures
from vitrine.services.encoders.base import Encoder
from vitrine.services.encoders.compiled.quantise import Judgement, recall_of_neighbours
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.precision import Precision
from vitrine.services.encoders.reference import parse_reference
from vitrine.services.runtime import open_runtime
from vitrine.services.settings import Settings

PICTURES = 32


def loaded(data: Path, precision: Precision) -> Encoder:
    """The demo's encoder as a server of this data folder loads it."""
    settings = Settings(data=data, precision=precision, offline=True, min_free_mb=0, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    with open_runtime(settings) as runtime:
        return runtime.encoders.loader.load(parse_reference("demo"))


def test_neighbours_that_stay_are_counted_as_a_slow_loop_counts_them() -> None:
    random = np.random.default_rng(2)
    rows = random.standard_normal((25, 6)).astype(np.float32)
    others = rows + 0.5 * random.standard_normal(rows.shape).astype(np.float32)
    rows, others = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, others))

    def near(each: np.ndarray, i: int) -> set[int]:
        return set(sorted((j for j in range(25) if j != i), key=lambda j: -float(each[i] @ each[j]))[:10])

    shares = [len(near(rows, i) & near(others, i)) / 10 for i in range(25)]
    found = recall_of_neighbours(rows, others)
    assert found == pytest.approx(np.mean(shares)) and found < 1
    assert recall_of_neighbours(rows[:4], rows[:4]) == 1


def test_int8_is_equal_where_neighbours_stay_and_vectors_may_be_mixed() -> None:
    assert Judgement(300, 0.99, 0.999, 0.9999, 50, 80).equal
    assert not Judgement(300, 0.98, 0.9999, 0.9999, 50, 80).equal
    assert not Judgement(300, 1.0, 0.99, 0.9999, 50, 80).equal


def test_int8_without_a_quantised_graph_runs_as_auto_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loader = EncoderLoader(precision="int8", device="cpu", offline=True, cache=tmp_path)
    assert loader.load(parse_reference("demo")).precision in ("float32", "bfloat16")
    assert "vitrine encoder quantize" in caplog.text


def test_a_category_quantises_its_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf")
    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    images = [drawn.image.convert("RGB") for drawn in draw_pictures(PICTURES, seed=3)]
    for number, image in enumerate(images):
        image.save(pictures / f"{number}.png")
    run = runner(tmp_path / "data")
    added = run("index", "add", pictures, "-c", "shop", "--create", "--encoder", "demo", "--json")
    assert added.json["added"] == PICTURES
    assert run("encoder", "quantize", "nothing").code == 1
    kept = run("encoder", "quantize", "shop", "--json").json
    assert (kept["images"], kept["kept"]) == (PICTURES, kept["equal"]) and kept["recall"] > 0.5
    if not kept["equal"]:  # which depends on the machine's arithmetic
        again = run("encoder", "quantize", "shop", "--keep", "--json").json
        assert again["kept"] and again["recall"] == kept["recall"]
    assert 0.9 < kept["cosine_min"] <= kept["cosine_mean"] <= 1.00001
    small, plain = (loaded(tmp_path / "data", precision) for precision in ("int8", "float32"))
    assert (small.precision, plain.precision) == ("int8", "float32")
    cosines = (small.encode_images(images) * plain.encode_images(images)).sum(axis=1)
    assert 0.9 < cosines.min() < 0.99999
