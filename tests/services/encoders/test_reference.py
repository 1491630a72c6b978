"""How encoders are named, and where their weights are found."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from vitrine.services.encoders.precision import choose_precision, cpu_flags
from vitrine.services.encoders.reference import PRESETS, EncoderReference, parse_reference
from vitrine.services.encoders.resolve import folder_revision, resolve_model
from vitrine.services.errors import BadRequest, ModelUnavailable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clip", PRESETS["clip"]),
        (" vit ", PRESETS["vit"]),
        ("mine=org/model@abc123", EncoderReference("mine", "org/model", "abc123")),
        ("mine=org/model", EncoderReference("mine", "org/model")),
        (
            "google/siglip-base-patch16-224",
            EncoderReference("siglip-base-patch16-224", "google/siglip-base-patch16-224"),
        ),
        ("org/My.Model_2@v1.0", EncoderReference("my-model_2", "org/My.Model_2", "v1.0")),
        (
            "./models/mobilenet-v2-1.0-224/",
            EncoderReference("mobilenet-v2-1-0-224", "./models/mobilenet-v2-1.0-224/"),
        ),
        ("clip=/srv/clip", EncoderReference("clip", "/srv/clip")),
        ("x=m@sha256:0af1", EncoderReference("x", "m", "sha256:0af1")),
    ],
)
def test_references_are_read(text, expected):
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text", ["", "  ", "name=", "Über=org/model", "a b=org/model", "=org/model", "-x=org/model"]
)
def test_malformed_references_are_refused(text):
    with pytest.raises(BadRequest):
        parse_reference(text)


def test_a_folder_with_an_at_sign_is_a_folder(tmp_path):
    folder = tmp_path / "model@home"
    folder.mkdir()
    assert parse_reference(str(folder)) == EncoderReference("model-home", str(folder))


def test_hub_presets_are_pinned_to_a_commit():
    for name in ("clip", "vit"):
        assert len(PRESETS[name].revision or "") == 40


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """An empty hub cache."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def weights(tmp_path):
    """A folder with a config and (not real) weights, by its name."""

    def folder(name: str, content: bytes = b"weights"):
        path = tmp_path / "models" / name
        path.mkdir(parents=True)
        (path / "config.json").write_text("{}")
        (path / "model.safetensors").write_bytes(content)
        return path

    return folder


def resolve(text, tmp_path, **options):
    return resolve_model(parse_reference(text), models_folder=tmp_path / "models", offline=True, **options)


@pytest.mark.parametrize("name", ["clip-vit-base-patch32", "openai--clip-vit-base-patch32"])
def test_the_models_folder_stands_before_the_hub(name, tmp_path, weights):
    folder = weights(name)
    found = resolve("clip", tmp_path)
    assert (found.path, found.revision) == (folder, folder_revision(folder))


def test_a_folder_is_taken_as_it_is(tmp_path, weights):
    folder = weights("own")
    assert resolve(str(folder), tmp_path).path == folder
    assert resolve("own", tmp_path).path == folder


def test_the_revision_of_a_folder_is_its_content(weights):
    folder = weights("a")
    revision = folder_revision(folder)
    assert revision.startswith("sha256:") and len(revision) == 71
    assert folder_revision(weights("b")) == revision
    assert folder_revision(weights("c", b"other")) != revision
    (folder / "README.md").write_text("not part of it")
    (folder / "training.json").write_text("nor this")
    assert folder_revision(folder) == revision
    time_before = (folder / "model.safetensors").stat().st_mtime
    (folder / "model.safetensors").write_bytes(b"WEIGHTS")
    os.utime(folder / "model.safetensors", (time_before + 5, time_before + 5))
    assert folder_revision(folder) != revision


def test_the_cache_of_the_hub_is_used_offline(tmp_path, monkeypatch, weights):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    commit = PRESETS["vit"].revision
    snapshot = tmp_path / "cache" / "models--google--vit-base-patch16-224-in21k" / "snapshots" / commit
    shutil.copytree(weights("elsewhere"), snapshot)
    found = resolve("vit", tmp_path)
    assert (found.path.resolve(), found.revision) == (snapshot.resolve(), commit)
    assert resolve("vit", tmp_path, folders=False).revision == commit
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable):  # only part of it was downloaded
        resolve("vit", tmp_path)


@pytest.mark.parametrize("text", ["clip", "vit", "own=no/such@v1", "./nowhere", "demo2=vitrine/nothing"])
def test_what_is_nowhere_says_which_folder_to_fill_and_at_once(text, tmp_path, no_cache):
    began = time.monotonic()
    with pytest.raises(ModelUnavailable) as caught:
        resolve(text, tmp_path)
    assert time.monotonic() - began < 2
    assert "VITRINE_MODELS" in caught.value.message
    last = parse_reference(text).model.rpartition("/")[2]
    assert str(tmp_path / "models" / last) in caught.value.message


def test_a_hub_that_cannot_be_reached_is_given_up_soon(tmp_path, no_cache, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens on the discard port
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="the hub says") as caught:
        resolve_model(parse_reference("clip"), models_folder=tmp_path / "models", offline=False)
    assert time.monotonic() - began < 10
    assert str(tmp_path / "models" / "clip-vit-base-patch32") in caught.value.message


def test_pickled_weights_are_not_enough(tmp_path, no_cache):
    folder = tmp_path / "models" / "pickled"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelUnavailable, match="safetensors"):
        resolve(str(folder), tmp_path)


def test_precision_follows_the_cpu(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu avx2 avx512_bf16\n\nprocessor : 1\nflags : none\n")
    assert cpu_flags(cpuinfo) == {"fpu", "avx2", "avx512_bf16"}
    assert choose_precision("auto", "cpu", cpuinfo=cpuinfo) == "bfloat16"
    assert choose_precision("float32", "cpu", cpuinfo=cpuinfo) == "float32"
    cpuinfo.write_text("processor : 0\nflags : fpu avx2\n")
    assert choose_precision("auto", "cpu", cpuinfo=cpuinfo) == "float32"
    assert choose_precision("bfloat16", "cpu", cpuinfo=cpuinfo) == "bfloat16"
    assert choose_precision("auto", "cpu", cpuinfo=tmp_path / "absent") == "float32"
