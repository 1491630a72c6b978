from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run

SMALL = ("--size", 16, "--channels", "8,16", "--dim", 4, "--epochs", 2, "--batch-size", 4)


def test_a_trained_autoencoder_is_an_encoder_like_any_other(
    vitrine: Run, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    folder = tmp_path / "shapes"
    trained = vitrine("autoencoder", "train", folder, "--from", pictures, *SMALL, "--json")
    assert trained.code == 0, trained.err
    assert trained.json["images"] == 12 and len(trained.json["history"]) == 2
    assert (folder / "reconstructions.png").stat().st_size > 0
    assert "epoch 2 of 2" in trained.err
    added = vitrine("index", "add", pictures, "-c", "shapes", "--create", "--encoder", folder, "--json")
    assert added.json["added"] == 12, added.err
    again = vitrine("autoencoder", "train", tmp_path / "again", "--category", "shapes", *SMALL, "--json")
    assert again.json["images"] == 12

    embedded = vitrine(
        "autoencoder", "embed", folder, "--from", pictures, "--to", tmp_path / "rows.npz", "--json"
    )
    assert embedded.json["images"] == 12, embedded.err
    with np.load(tmp_path / "rows.npz") as arrays:
        assert arrays["embeddings"].shape == (12, 4)
        assert np.allclose(np.linalg.norm(arrays["embeddings"], axis=1), 1, atol=1e-5)
        assert "red/24.png" in arrays["names"]


def test_what_cannot_be_trained_says_what_to_do(vitrine: Run, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    neither = vitrine("autoencoder", "train", tmp_path / "x")
    assert neither.code == 1 and "--category NAME or --from SOURCE" in neither.err
    words = vitrine("autoencoder", "train", tmp_path / "x", "--from", pictures, "--channels", "8;16")
    assert words.code == 1 and "must be a whole number" in words.err
    features = vitrine("autoencoder", "train", tmp_path / "x", "--from", pictures, "--loss", "perceptual")
    assert features.code == 1 and "--features" in features.err
    assert not (tmp_path / "x").exists()
