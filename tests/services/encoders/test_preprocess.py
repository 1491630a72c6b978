"""Our preprocessing gives what the image processors of transformers give, within rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.preprocess import fit, normalise, read_preprocessing
from vitrine.services.errors import ModelUnavailable

KINDS = ["clip", "siglip", "vit", "dinov2", "convnext", "mobilenet"]


def ours(images, preprocessing):
    pixels = [fit(image, preprocessing) for image in images]
    return normalise(pixels, preprocessing, device="cpu", dtype=torch.float32).numpy()


def theirs(images, processor):
    return np.stack(
        [np.asarray(processor(image, return_tensors="np")["pixel_values"][0]) for image in images]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_processor_of_the_folder(kind, tiny_model, photos):
    folder = tiny_model(kind)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    batch = ours(photos, read_preprocessing(folder))
    assert batch.shape == (len(photos), 3, 32, 32)
    np.testing.assert_allclose(batch, theirs(photos, processor), atol=2e-6)


@pytest.mark.parametrize(
    "processor",
    [
        transformers.CLIPImageProcessorPil(),
        transformers.ViTImageProcessorPil(),
        transformers.SiglipImageProcessorPil(),
        transformers.BitImageProcessorPil(),
        transformers.ConvNextImageProcessorPil(),
        transformers.ConvNextImageProcessorPil(size={"shortest_edge": 224}),
        transformers.MobileNetV2ImageProcessorPil(),
        transformers.CLIPImageProcessorPil(size={"shortest_edge": 60}, crop_size={"height": 80, "width": 70}),
        transformers.ViTImageProcessorPil(
            size={"height": 64, "width": 48}, resample=Image.Resampling.LANCZOS
        ),
        transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}, do_normalize=False),
        transformers.ViTImageProcessorPil(
            size={"height": 32, "width": 32}, rescale_factor=1 / 127.5, image_mean=[1.0, 1.0, 1.0]
        ),
        transformers.ViTImageProcessorPil(
            size={"height": 32, "width": 32}, do_rescale=False, do_normalize=False
        ),
    ],
    ids=lambda processor: type(processor).__name__,
)
def test_equals_processors_as_they_come(processor, photos):
    images = photos[:4]
    expected = theirs(images, processor)
    actual = ours(images, read_preprocessing(processor))
    np.testing.assert_allclose(actual, expected, atol=2e-6 * max(1.0, np.abs(expected).max()))


def test_what_is_read_of_a_processor():
    assert read_preprocessing(transformers.MobileNetV2ImageProcessorPil()) == Preprocessing(
        256, (224, 224), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear"
    )
    clip = read_preprocessing(transformers.CLIPImageProcessorPil())
    assert (clip.resize, clip.crop, clip.interpolation, clip.target) == (224, (224, 224), "bicubic", 224)
    assert (
        read_preprocessing(transformers.ConvNextImageProcessorPil(size={"shortest_edge": 224})).resize == 256
    )


def test_other_kinds_of_preprocessing_are_refused(tmp_path):
    with pytest.raises(ModelUnavailable, match="preprocessor_config"):
        read_preprocessing(tmp_path)
    for processor in (
        transformers.Siglip2ImageProcessorPil(),
        transformers.EfficientNetImageProcessorPil(),
        transformers.CLIPImageProcessorPil(do_center_crop=False),
        transformers.ViTImageProcessorPil(do_resize=False),
    ):
        with pytest.raises(ModelUnavailable, match=r"not supported|aspect"):
            read_preprocessing(processor)


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
