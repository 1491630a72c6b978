"""What a preprocessor file asks for, read by ourselves, is what the processors of transformers do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.folders.processor_kinds import KIND_OF_MODEL, KINDS
from vitrine.services.encoders.preprocess import fit, read_preprocessing
from vitrine.services.errors import ModelUnavailable

HALF = (0.5, 0.5, 0.5)
SQUARE = {"size": {"height": 32, "width": 40}}
CROPPED = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 30}}

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "as it comes, clip": {"image_processor_type": "CLIPImageProcessor"},
    "fast": {"image_processor_type": "CLIPImageProcessorFast", **CROPPED},
    "feature extractor": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 40, "crop_size": 32},
    "size is a list": {"image_processor_type": "ViTImageProcessor", "size": [32, 48]},
    "nulls": {
        "image_processor_type": "DeiTImageProcessor",
        "size": 32,
        "crop_size": None,
        "do_center_crop": None,
        "do_normalize": None,
        "do_pad": None,
        "image_mean": None,
    },
    "one mean for all": {"image_processor_type": "ViTImageProcessor", **SQUARE, "image_mean": 0.4},
    "lanczos": {"image_processor_type": "ViTImageProcessor", **SQUARE, "resample": 1},
    "nearest": {"image_processor_type": "ViTImageProcessor", **SQUARE, "resample": 0},
    "no normalisation": {"image_processor_type": "ViTImageProcessor", **SQUARE, "do_normalize": False},
    "raw": {
        "image_processor_type": "ViTImageProcessor",
        **SQUARE,
        "do_rescale": False,
        "do_normalize": False,
    },
    "other factor": {
        "image_processor_type": "ViTImageProcessor",
        **SQUARE,
        "rescale_factor": 1 / 127.5,
        "image_mean": [1.0, 1.0, 1.0],
    },
    "crop wider than the picture": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 30},
        "crop_size": {"height": 40, "width": 36},
    },
    "siglip": {"image_processor_type": "SiglipImageProcessor", **SQUARE},
    "siglip cropped": {"image_processor_type": "SiglipImageProcessor", **CROPPED, "do_center_crop": True},
    "deit": {"feature_extractor_type": "DeiTFeatureExtractor", "size": 40, "crop_size": 32},
    "bit": {"image_processor_type": "BitImageProcessor", **CROPPED},
    "beit": {
        "feature_extractor_type": "BeitFeatureExtractor",
        "size": 32,
        "crop_size": 24,
        "do_center_crop": False,
        "resample": 2,
    },
    "beit cropped": {"image_processor_type": "BeitImageProcessor", "size": 40, "do_center_crop": True},
    "segformer": {"feature_extractor_type": "SegformerFeatureExtractor", "size": 64, "reduce_labels": True},
    "pvt": {"image_processor_type": "PvtImageProcessor", **SQUARE},
    "blip": {"image_processor_type": "BlipImageProcessor", **SQUARE},
    "owlvit": {"image_processor_type": "OwlViTImageProcessor", "size": [48, 48], "do_center_crop": False},
    "convnext below 384": {
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "size": 224,
        "crop_pct": 0.8,
    },
    "convnext warped": {"image_processor_type": "ConvNextImageProcessor"},
    "levit": {"image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 56}, "crop_size": 48},
    "poolformer": {"image_processor_type": "PoolFormerImageProcessor", "size": 48, "crop_size": 40},
    "poolformer square": {"image_processor_type": "PoolFormerImageProcessor", "size": [48, 48]},
    "mobilenet": {"image_processor_type": "MobileNetV2ImageProcessor", **CROPPED},
    "mobilenet v1": {"image_processor_type": "MobileNetV1ImageProcessor"},
    "mobilevit": {
        "feature_extractor_type": "MobileViTFeatureExtractor",
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 32, "width": 32},
        "resample": 2,
    },
    "mobilevit in rgb": {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": False},
    "efficientnet": {
        "image_processor_type": "EfficientNetImageProcessor",
        "image_std": [0.4, 0.5, 0.6],
        **SQUARE,
    },
    "align": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": {"height": 44, "width": 44},
        "crop_size": {"height": 36, "width": 36},
        "do_center_crop": True,
        "do_normalize": False,
        "include_top": False,
        "rescale_factor": 1 / 127.5,
        "rescale_offset": True,
    },
    "flava": {"image_processor_type": "FlavaImageProcessor", "size": 40, "crop_size": 32},
}


def written(folder: Path, processor: Mapping[str, Any], model_type: str = "vit") -> Path:
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


def ours(images: list[Image.Image], preprocessing: Preprocessing) -> np.ndarray:
    pixels = np.stack([fit(image, preprocessing) for image in images]) / 255.0
    return ((pixels - preprocessing.mean) / preprocessing.std).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_processor_of_transformers(variant, tmp_path, photos):
    transformers = pytest.importorskip("transformers")
    folder = written(tmp_path, VARIANTS[variant])
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    images = photos[:4]
    theirs = np.stack(
        [np.asarray(processor(image, return_tensors="np")["pixel_values"][0]) for image in images]
    )
    actual = ours(images, read_preprocessing(folder))
    np.testing.assert_allclose(actual, theirs, atol=2e-6 * max(1.0, np.abs(theirs).max()))


def test_every_kind_comes_with_the_defaults_that_it_has_in_transformers(tmp_path, photos):
    transformers = pytest.importorskip("transformers")
    image = photos[0].resize((64, 48))
    for stem in sorted(KINDS.keys() - {"DINOv3ViT"}):  # that one asks for torchvision
        processor = getattr(transformers, f"{stem}ImageProcessorPil")()
        folder = written(tmp_path, {"image_processor_type": f"{stem}ImageProcessor"})
        theirs = np.asarray(processor(image, return_tensors="np")["pixel_values"][0])
        np.testing.assert_allclose(
            ours([image], read_preprocessing(folder))[0], theirs, atol=1e-5, err_msg=stem
        )


def test_a_file_without_a_class_is_read_as_its_model_usually_is(tmp_path):
    auto = pytest.importorskip("transformers.models.auto.image_processing_auto")
    theirs = {
        model.replace("-", "_"): names["pil"].removesuffix("ImageProcessorPil")
        for model, names in auto.IMAGE_PROCESSOR_MAPPING_NAMES.items()
        if "pil" in names
    }
    for model, stem in KIND_OF_MODEL.items():
        assert theirs.get(model.replace("-", "_"), stem) == stem, model
    folder = written(tmp_path, {"size": 40, "crop_size": 32, "image_mean": HALF}, "clip")
    assert (read_preprocessing(folder).resize, read_preprocessing(folder).crop) == (40, (32, 32))
    assert read_preprocessing(written(tmp_path, {"size": 40}, "vit")).resize == (40, 40)
    assert read_preprocessing(written(tmp_path, {"size": 224, "crop_pct": 0.875}, "resnet")).resize == 256


def test_the_older_name_of_a_class_counts_wherever_it_stands(tmp_path):
    older = read_preprocessing(written(tmp_path, {"image_processor_type": "ViTFeatureExtractor", "size": 32}))
    newer = read_preprocessing(written(tmp_path, {"image_processor_type": "ViTImageProcessor", "size": 32}))
    assert older == newer


def test_dinov3_resizes_to_a_square(tmp_path):
    folder = written(tmp_path, {"image_processor_type": "DINOv3ViTImageProcessorFast"}, "dinov3_vit")
    assert read_preprocessing(folder) == Preprocessing(
        (224, 224), None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear"
    )


def test_the_newer_file_of_a_whole_processor_comes_first(tmp_path):
    folder = written(tmp_path, {"image_processor_type": "ViTImageProcessor", "size": 48})
    inner = {"image_processor_type": "ViTImageProcessorFast", "size": {"height": 32, "width": 32}}
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": inner}))
    assert read_preprocessing(folder).resize == (32, 32)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    assert read_preprocessing(folder).resize == (48, 48)


@pytest.mark.parametrize(
    ("processor", "sentence"),
    [
        ({"image_processor_type": "Siglip2ImageProcessorFast"}, "Siglip2 is not supported: .*varies"),
        ({"image_processor_type": "DetrFeatureExtractor"}, "Detr is not supported: .*varies"),
        ({"image_processor_type": "Owlv2ImageProcessor"}, "pads pictures"),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, "keeps the aspect"),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, "one fixed size"),
        ({"image_processor_type": "ViTImageProcessor", "do_pad": True}, "without padding"),
        (
            {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 4, "longest_edge": 9}},
            "longest_edge lets each keep one of its own",
        ),
        ({"image_processor_type": "ViTImageProcessor", "size": {"edge": 3}}, "cannot be read"),
        ({"image_processor_type": "ViTImageProcessor", "image_mean": ["a", "b", "c"]}, "cannot be read"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 99}, "cannot be read"),
        ({"image_processor_type": "SomebodysImageProcessor"}, "SomebodysImageProcessor is not supported"),
    ],
)
def test_what_does_not_end_in_one_size_is_refused(processor, sentence, tmp_path):
    with pytest.raises(ModelUnavailable, match=sentence):
        read_preprocessing(written(tmp_path, processor, "somebodys"))


def test_an_empty_file_means_the_defaults_and_a_broken_one_is_refused(tmp_path):
    assert read_preprocessing(written(tmp_path, {}, "vit")).resize == (224, 224)
    (tmp_path / "preprocessor_config.json").write_text("{'size': 32}")
    with pytest.raises(ModelUnavailable, match="is not a JSON object"):
        read_preprocessing(tmp_path)


def test_a_folder_without_a_word_on_preprocessing_says_what_to_put_there(tmp_path):
    with pytest.raises(ModelUnavailable, match=r"preprocessor_config\.json of its original"):
        read_preprocessing(tmp_path)


def test_open_clip_says_it_in_its_own_file(tmp_path):
    config = {
        "model_cfg": {"embed_dim": 24, "vision_cfg": {"image_size": 32}},
        "preprocess_cfg": {"mean": HALF, "std": HALF},
    }
    file = tmp_path / "open_clip_config.json"
    file.write_text(json.dumps(config))
    assert read_preprocessing(tmp_path) == Preprocessing(32, (32, 32), HALF, HALF, "bicubic")
    config["preprocess_cfg"] |= {"resize_mode": "squash", "size": [48, 40], "interpolation": "bilinear"}
    file.write_text(json.dumps(config))
    assert read_preprocessing(tmp_path) == Preprocessing((48, 40), None, HALF, HALF, "bilinear")
    config["preprocess_cfg"]["resize_mode"] = "longest"
    file.write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match="never padded"):
        read_preprocessing(tmp_path)


def test_timm_says_it_in_its_pretrained_cfg(tmp_path):
    asked = {
        "input_size": [3, 224, 224],
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": HALF,
        "std": HALF,
    }
    file = tmp_path / "config.json"
    for tree in ({"architecture": "a", "pretrained_cfg": asked}, {"architecture": "a", **asked}):
        file.write_text(json.dumps(tree))
        assert read_preprocessing(tmp_path) == Preprocessing(248, (224, 224), HALF, HALF, "bicubic")
    squashed = asked | {"crop_mode": "squash", "crop_pct": 1.0, "input_size": [3, 256, 192]}
    file.write_text(json.dumps({"architecture": "a", "pretrained_cfg": squashed}))
    assert read_preprocessing(tmp_path).resize == (256, 192)
    file.write_text(json.dumps({"architecture": "a", "pretrained_cfg": asked | {"crop_mode": "border"}}))
    with pytest.raises(ModelUnavailable, match="crop_mode border"):
        read_preprocessing(tmp_path)
