"""Our preprocessing gives what the image processors of transformers give, within rounding."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.preprocess import fit, normalise, read_preprocessing

KINDS = ["clip", "siglip", "vit", "dinov2", "convnext", "mobilenet"]


def ours(images, preprocessing):
    torch = pytest.importorskip("torch")
    pixels = [fit(image, preprocessing) for image in images]
    return normalise(pixels, preprocessing, device="cpu", dtype=torch.float32).numpy()


def theirs(images, processor):
    return np.stack(
        [np.asarray(processor(image, return_tensors="np")["pixel_values"][0]) for image in images]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_processor_of_the_folder(kind, tiny_model, photos):
    transformers = pytest.importorskip("transformers")
    folder = tiny_model(kind)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    batch = ours(photos, read_preprocessing(folder))
    assert batch.shape == (len(photos), 3, 32, 32)
    np.testing.assert_allclose(batch, theirs(photos, processor), atol=2e-6)


def test_extreme_strips_cost_no_memory_and_keep_their_middle():
    strip = Image.new("RGB", (500_000, 2), (255, 0, 0))
    strip.paste((0, 0, 255), (249_000, 0, 251_000, 2))
    for image in (strip, strip.transpose(Image.Transpose.ROTATE_90)):
        pixels = fit(image, Preprocessing(224, (224, 224), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
        assert pixels.shape == (224, 224, 3)
        assert (pixels == (0, 0, 255)).all()


def test_a_strip_just_past_the_shortcut_is_resized_alike():
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, 4, 3), np.uint8)).resize((10, 330))
    whole = image.resize((32, 32 * 33), Image.Resampling.BICUBIC)
    expected = np.asarray(whole.crop((0, 16 * 32, 32, 17 * 32)), int)
    pixels = fit(image, Preprocessing(32, (32, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    assert np.abs(pixels - expected).max() <= 2
