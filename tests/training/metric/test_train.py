"""Training runs on tiny trunks: what is learnt is what is served, and a run can be repeated and resumed."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import transformers as t
from PIL import Image

from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.families.metric_config import read_config, read_split
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import COLOUR_MODEL, EncoderReference
from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.services.images.open import content_hash
from vitrine.training.data.dataset import LabelledImage
from vitrine.training.data.splits import Split
from vitrine.training.metric.checkpoints import clear
from vitrine.training.metric.options import MetricOptions
from vitrine.training.metric.train import Watch, learning_rate_share, train_metric
from vitrine.training.metric.trunk import Trunk

EDGE = 32
COLOURS = {"red": (200, 40, 40), "green": (40, 190, 60), "blue": (40, 60, 200)}
KINDS = ("vit", "clip", "mobilenet")
FAST = MetricOptions(
    embedder_layers=(16, 8),
    loss="SupCon",
    samples_per_class=3,
    batch_size=9,
    epochs=3,
    views=0,
    threads=1,
    autocast="off",
)


def picture(colour: tuple[int, int, int], seed: int) -> bytes:
    random = np.random.default_rng(seed)
    pixels = np.clip(np.array(colour) + random.integers(-50, 50, (6, 8, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((48, 40), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def labelled(name: str, number: int) -> LabelledImage:
    data = picture(COLOURS[name], 100 * number + len(name))
    return LabelledImage(f"{name}/{number}.png", name, lambda: data, sha256=content_hash(data))


IMAGES = [labelled(name, number) for name in COLOURS for number in range(8)]
SPLIT = Split(
    *(tuple(p for p in range(24) if p % 8 in part) for part in ({0, 1, 2, 3, 4}, {5, 6}, {7})),
    protocol="by-image",
)
OPENED = [Image.open(io.BytesIO(image.read())).convert("RGB") for image in IMAGES]


@pytest.fixture(scope="session")
def tiny_trunk(tmp_path_factory):
    """The folder of a tiny ViT, CLIP or MobileNetV2 with random weights."""
    root = tmp_path_factory.mktemp("trunks")
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    vision = {**tower, "image_size": EDGE, "patch_size": 8}
    crop = {"size": {"shortest_edge": EDGE}, "crop_size": {"height": EDGE, "width": EDGE}}

    def folder(kind: str) -> Path:
        path = root / kind
        if path.is_dir():
            return path
        torch.manual_seed(5)
        if kind == "vit":
            model = t.ViTModel(t.ViTConfig(**vision), add_pooling_layer=False)
            processor = t.ViTImageProcessorPil(size={"height": EDGE, "width": EDGE})
        elif kind == "clip":
            text = {**tower, "vocab_size": 64, "max_position_embeddings": 12}
            model = t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
            processor = t.CLIPImageProcessorPil(**crop)
        else:
            model = t.MobileNetV2Model(
                t.MobileNetV2Config(image_size=EDGE, depth_multiplier=0.25, finegrained_output=False)
            )
            processor = t.MobileNetV2ImageProcessorPil(**crop)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim > 1:
                    weight.normal_(0, 1.0 / np.sqrt(weight[0].numel()))
        model.eval().save_pretrained(path)
        processor.save_pretrained(path)
        return path

    return folder


def trunk_of(folder: Path, **options) -> Trunk:
    return Trunk(EncoderReference("tiny", str(folder)), precision="float32", device="cpu", **options)


def colours() -> Trunk:
    return Trunk(EncoderReference("colour", COLOUR_MODEL))


def rows(trained) -> np.ndarray:
    return trained.encoder.encode_images(OPENED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["frozen", "last-blocks", "whole"])
def test_what_was_trained_is_what_is_served(kind, mode, tiny_trunk, tmp_path):
    options = replace(FAST, mode=mode, blocks=1, trunk_lr=1e-2, epochs=2)
    trained = train_metric(IMAGES, SPLIT, trunk_of(tiny_trunk(kind)), options, name="look")
    trained.save(tmp_path / "look", {"candidate": {"precision_at_1": 1.0}})
    served = EncoderLoader(device="cpu").load(EncoderReference("look", str(tmp_path / "look")))
    assert served.precision == "float32"
    np.testing.assert_allclose(served.encode_images(OPENED), rows(trained), atol=1e-5)
    assert (tmp_path / "look" / "trunk").is_dir() == (mode != "frozen")
    plain = (
        EncoderLoader(precision="float32").load(EncoderReference("t", str(tiny_trunk(kind))))
        if kind != "clip"
        else None
    )
    if plain is not None:
        moved = np.abs(served.trunk.encode_images(OPENED) - plain.encode_images(OPENED)).max()
        assert (moved > 1e-3) == (mode != "frozen")


def test_the_folder_tells_how_it_was_made(tmp_path):
    trained = train_metric(IMAGES, SPLIT, colours(), FAST, name="look")
    trained.save(tmp_path / "look", {"candidate": {"precision_at_1": 1.0}})
    config, split = read_config(tmp_path / "look"), read_split(tmp_path / "look")
    assert config.classes == ("blue", "green", "red")
    assert config.metrics == {"candidate": {"precision_at_1": 1.0}}
    assert config.trunk.revision == ColourEncoder().spec.revision
    assert config.fingerprint.startswith("sha256:")
    assert config.training["options"]["loss"] == "SupCon"
    assert config.training["best_epoch"] == trained.best_epoch
    assert split["protocol"] == "by-image"
    assert [len(split[part]) for part in ("train", "validation", "test")] == [15, 6, 3]
    assert split["test"] == [IMAGES[position].sha256 for position in SPLIT.test]
    assert len(split["classes"]) == 24


def test_learning_brings_classes_together():
    embedded = np.random.default_rng(2).standard_normal((24, 64)).astype(np.float32)
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    known = [replace(image, embedding=row) for image, row in zip(IMAGES, embedded, strict=True)]
    trained = train_metric(known, replace(SPLIT, validation=()), colours(), replace(FAST, epochs=30, lr=3e-3))
    classes = np.array([IMAGES[position].class_ for position in SPLIT.train])
    same = classes[:, None] == classes

    def gap(some: np.ndarray) -> float:
        similarity = some[list(SPLIT.train)] @ some[list(SPLIT.train)].T
        return float(similarity[same].mean() - similarity[~same].mean())

    assert gap(embedded) < 0.3
    assert gap(trained.embedder.embed(embedded)) > 0.5
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


def test_the_best_epoch_is_kept():
    trained = train_metric(IMAGES, SPLIT, colours(), FAST)
    best = max(row["recall_at_1"] for row in trained.history)
    assert trained.history[trained.best_epoch - 1]["recall_at_1"] == best


@pytest.mark.parametrize("loss", ["ProxyAnchor", "SupCon"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(loss, tmp_path):
    options = replace(FAST, epochs=6, dropout=0.3, views=2, loss=loss)

    class Interrupted(Exception):
        pass

    def interrupt(row):
        if row["epoch"] == 3:
            raise Interrupted

    whole = train_metric(IMAGES, SPLIT, colours(), options, checkpoints=tmp_path / "other")
    with pytest.raises(Interrupted):
        train_metric(
            IMAGES, SPLIT, colours(), options, checkpoints=tmp_path / "run", watch=Watch(on_epoch=interrupt)
        )
    assert (tmp_path / "run").is_dir()
    torch.rand(7)  # the state of the global generator is no part of a run
    resumed = train_metric(IMAGES, SPLIT, colours(), options, checkpoints=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(rows(resumed), rows(whole))
    plain = [{key: value for key, value in row.items() if key != "seconds"} for row in resumed.history]
    assert plain == [{key: value for key, value in row.items() if key != "seconds"} for row in whole.history]
    assert resumed.best_epoch == whole.best_epoch
    again = train_metric(IMAGES, SPLIT, colours(), options, checkpoints=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(rows(again), rows(whole))
    assert len(again.history) == len(whole.history)
    clear(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    def interrupt(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_metric(
            IMAGES, SPLIT, colours(), FAST, checkpoints=tmp_path / "run", watch=Watch(on_epoch=interrupt)
        )
    with pytest.raises(BadRequest, match="other options"):
        train_metric(
            IMAGES, SPLIT, colours(), replace(FAST, lr=0.5), checkpoints=tmp_path / "run", resume=True
        )
    fewer = replace(SPLIT, train=SPLIT.train[:-1])
    with pytest.raises(BadRequest, match="images"):
        train_metric(IMAGES, fewer, colours(), FAST, checkpoints=tmp_path / "run", resume=True)
    with pytest.raises(BadRequest, match="no checkpoint"):
        train_metric(IMAGES, SPLIT, colours(), FAST, checkpoints=tmp_path / "none", resume=True)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state_alone():
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    first = train_metric(IMAGES, SPLIT, colours(), FAST)
    torch.testing.assert_close(torch.rand(3), expected)
    np.testing.assert_array_equal(rows(first), rows(train_metric(IMAGES, SPLIT, colours(), FAST)))
    assert not np.allclose(rows(first), rows(train_metric(IMAGES, SPLIT, colours(), replace(FAST, seed=1))))


def test_kept_activations_and_fresh_ones_train_alike(tiny_trunk):
    options = replace(FAST, mode="last-blocks", blocks=1, epochs=1)
    kept = train_metric(IMAGES, SPLIT, trunk_of(tiny_trunk("vit")), options)
    fresh = train_metric(IMAGES, SPLIT, trunk_of(tiny_trunk("vit")), replace(options, memory_mb=0))
    np.testing.assert_allclose(rows(kept), rows(fresh), atol=2e-2)
    varied = train_metric(IMAGES, SPLIT, trunk_of(tiny_trunk("vit")), replace(options, memory_mb=0, views=1))
    assert not np.allclose(rows(varied), rows(fresh), atol=1e-4)


def test_batch_normalisation_keeps_its_statistics(tiny_trunk):
    trained = train_metric(
        IMAGES, SPLIT, trunk_of(tiny_trunk("mobilenet")), replace(FAST, mode="whole", epochs=1)
    )
    norms = [part for part in trained.model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert norms
    assert all(
        float(part.running_mean.abs().sum()) == 0 and int(part.num_batches_tracked) == 0 for part in norms
    )


def test_a_second_run_reads_neither_pictures_nor_trunk(tiny_trunk, tmp_path):
    first = train_metric(IMAGES, SPLIT, trunk_of(tiny_trunk("vit")), replace(FAST, views=1), cache=tmp_path)

    def unreadable() -> bytes:
        raise AssertionError("was read")

    again = [replace(image, read=unreadable) for image in reversed(IMAGES)]
    mirrored = Split(
        *(tuple(23 - p for p in part) for part in (SPLIT.train, SPLIT.validation, SPLIT.test)),
        protocol="by-image",
    )
    trunk = trunk_of(tiny_trunk("vit"))
    trunk.encoder = unreadable
    second = train_metric(again, mirrored, trunk, replace(FAST, views=1), cache=tmp_path)
    assert second.config.precision == first.config.precision == "float32"
    torch.testing.assert_close(second.embedder.state_dict(), first.embedder.state_dict())


def test_stored_embeddings_are_taken_as_they_are():
    embedded = ColourEncoder().encode_images(OPENED)
    known = [
        replace(image, embedding=row, read=lambda: pytest.fail("was read"))
        for image, row in zip(IMAGES, embedded, strict=True)
    ]
    stored = train_metric(known, SPLIT, colours(), FAST)
    # a matrix product of another batch may differ in its last bits
    np.testing.assert_allclose(rows(stored), rows(train_metric(IMAGES, SPLIT, colours(), FAST)), atol=1e-5)


def test_another_input_size_travels_with_the_encoder(tiny_trunk, tmp_path):
    trained = train_metric(
        IMAGES, SPLIT, trunk_of(tiny_trunk("mobilenet"), input_size=(64, 48)), FAST, name="look"
    )
    trained.save(tmp_path / "look")
    served = EncoderLoader(device="cpu").load(EncoderReference("look", str(tmp_path / "look")))
    assert served.spec.preprocessing.resize == (64, 48)
    np.testing.assert_allclose(served.encode_images(OPENED), rows(trained), atol=1e-5)
    with pytest.raises(BadRequest, match="does not read images of this size"):
        train_metric(IMAGES, SPLIT, trunk_of(tiny_trunk("vit"), input_size=(64, 48)), FAST)
    with pytest.raises(BadRequest):
        trunk_of(tiny_trunk("vit"), input_size=(4,))


def test_a_stored_trunk_of_another_size_is_a_whole_model_folder(tiny_trunk, tmp_path):
    options = replace(FAST, mode="last-blocks", blocks=1, epochs=1)
    trained = train_metric(
        IMAGES, SPLIT, trunk_of(tiny_trunk("mobilenet"), input_size=(48,)), options, name="look"
    )
    trained.save(tmp_path / "look")
    trunk = EncoderLoader(device="cpu", precision="float32").load(
        EncoderReference("t", str(tmp_path / "look" / "trunk"))
    )
    assert trunk.spec.preprocessing == trained.config.preprocessing
    served = EncoderLoader(device="cpu").load(EncoderReference("look", str(tmp_path / "look")))
    np.testing.assert_allclose(served.trunk.encode_images(OPENED), trunk.encode_images(OPENED), atol=1e-6)


def test_unseen_classes_are_validated_among_themselves():
    parts = ({"red", "green"}, {"blue"}, set())
    positions = [tuple(p for p, image in enumerate(IMAGES) if image.class_ in part) for part in parts]
    positions[1] = (*positions[1], positions[0][-1], positions[0][-2])
    positions[0] = positions[0][:-2]
    trained = train_metric(IMAGES, Split(*positions, protocol="by-class"), colours(), FAST)
    assert trained.config.classes == ("green", "red")
    assert 0 < trained.history[-1]["recall_at_1"] <= 1


def test_training_stops_when_validation_gets_no_better():
    trained = train_metric(IMAGES, SPLIT, colours(), replace(FAST, epochs=40, patience=2, lr=1e-6))
    assert len(trained.history) == trained.best_epoch + 2 < 40
    without = train_metric(IMAGES, replace(SPLIT, validation=()), colours(), FAST)
    assert without.best_epoch == len(without.history) == FAST.epochs


def test_accumulated_batches_make_one_step():
    seen = []
    watch = Watch(on_epoch=seen.append)
    trained = train_metric(IMAGES, SPLIT, colours(), replace(FAST, accumulate=2), watch=watch)
    assert len(seen) == FAST.epochs
    assert not np.allclose(rows(trained), rows(train_metric(IMAGES, SPLIT, colours(), FAST)))


def test_what_cannot_be_trained_is_told(tiny_trunk):
    with pytest.raises(TooFewExamples):
        train_metric(IMAGES, replace(SPLIT, train=SPLIT.train[:5]), colours(), FAST)
    with pytest.raises(BadRequest, match="--mode frozen"):
        train_metric(IMAGES, SPLIT, colours(), replace(FAST, mode="whole"))
    with pytest.raises(BadRequest, match="has 3 blocks"):
        train_metric(IMAGES, SPLIT, trunk_of(tiny_trunk("vit")), replace(FAST, mode="last-blocks", blocks=4))
    for wrong in ({"mode": "half"}, {"loss": "L2"}, {"epochs": 0}, {"lr": 0.0}, {"samples_per_class": 1}):
        with pytest.raises(BadRequest):
            replace(FAST, **wrong)


def test_the_learning_rate_rises_and_falls():
    shares = [learning_rate_share(done, 0.2) for done in np.linspace(0.01, 1, 100)]
    assert max(shares) == pytest.approx(1, abs=0.01)
    assert np.argmax(shares) in (19, 20)
    assert shares[-1] == pytest.approx(0.01)
    assert all(a > b for a, b in pairwise(shares[20:]))
    assert learning_rate_share(0.0, 0.0) == 1
