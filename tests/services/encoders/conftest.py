"""Tiny models with random weights, written as a hub would ship them; made once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

EDGE = 32


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model by its kind: clip, siglip, vit, vit_unpooled, dinov2, convnext, mobilenet,
    clip_vision, and mobilenet_v1, for which there is no graph."""
    root = tmp_path_factory.mktemp("models")

    def folder(kind: str) -> Path:
        path = root / f"tiny-{kind}"
        if not path.is_dir():
            _write(kind, path)
        return path

    return folder


@pytest.fixture
def photos() -> list[Image.Image]:
    """Smooth random pictures of several shapes: wider, higher, square, smaller than the models' size, long
    strips."""
    random = np.random.default_rng(5)
    sizes = [(100, 75), (75, 100), (64, 64), (33, 47), (20, 14), (301, 40), (41, 333), (128, 127)]
    coarse = [random.integers(0, 256, (6, 8, 3), np.uint8) for _ in sizes]
    return [
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        for pixels, size in zip(coarse, sizes, strict=True)
    ]


def _write(kind: str, path: Path) -> None:
    torch, t = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(11)
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**tower, "image_size": EDGE, "patch_size": 8}
    crop = {"size": {"shortest_edge": EDGE}, "crop_size": {"height": EDGE, "width": EDGE}}
    square = {"size": {"height": EDGE, "width": EDGE}}
    makers: dict[str, Callable[[], tuple[Any, Any]]] = {
        "clip": lambda: (t.CLIPModel(_clip_config(t, tower, vision)), t.CLIPImageProcessorPil(**crop)),
        "siglip": lambda: (
            t.SiglipModel(_siglip_config(t, tower, vision)),
            t.SiglipImageProcessorPil(**square),
        ),
        "clip_vision": lambda: (
            t.CLIPVisionModel(t.CLIPVisionConfig(**vision)),
            t.CLIPImageProcessorPil(**crop),
        ),
        "vit": lambda: (t.ViTModel(t.ViTConfig(**vision)), t.ViTImageProcessorPil(**square)),
        "vit_unpooled": lambda: (
            t.ViTModel(t.ViTConfig(**vision), add_pooling_layer=False),
            t.ViTImageProcessorPil(**square),
        ),
        "dinov2": lambda: (
            t.Dinov2Model(t.Dinov2Config(**vision)),
            t.BitImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": EDGE, "width": EDGE}),
        ),
        "convnext": lambda: (
            t.ConvNextModel(
                t.ConvNextConfig(depths=[1, 1], hidden_sizes=[16, 32], num_stages=2, image_size=EDGE)
            ),
            t.ConvNextImageProcessorPil(size={"shortest_edge": EDGE}, crop_pct=0.8),
        ),
        "mobilenet": lambda: (
            t.MobileNetV2Model(
                t.MobileNetV2Config(image_size=EDGE, depth_multiplier=0.25, finegrained_output=False)
            ),
            t.MobileNetV2ImageProcessorPil(
                size={"shortest_edge": 40}, crop_size={"height": EDGE, "width": EDGE}
            ),
        ),
        "mobilenet_v1": lambda: (
            t.MobileNetV1Model(t.MobileNetV1Config(image_size=EDGE, depth_multiplier=0.25)),
            t.MobileNetV1ImageProcessorPil(
                size={"shortest_edge": 40}, crop_size={"height": EDGE, "width": EDGE}
            ),
        ),
    }
    model, processor = makers[kind]()
    spread(model)
    model.eval().save_pretrained(path)
    processor.save_pretrained(path)
    if kind in ("clip", "siglip"):
        make_tokenizer(t).save_pretrained(path)


def spread(model: Any) -> None:
    """Larger random weights than a fresh model's, so that different pictures get clearly different
    embeddings."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0, 1.0 / np.sqrt(weight[0].numel()))
            elif name.endswith("pooler.dense.bias"):
                weight.normal_(0, 0.1)  # as training leaves it; zero would say that nobody trained the pooler


def _clip_config(t: Any, tower: dict[str, int], vision: dict[str, int]) -> Any:
    text = {
        **tower,
        "vocab_size": 64,
        "max_position_embeddings": 12,
        "eos_token_id": 1,
        "bos_token_id": 0,
        "pad_token_id": 1,
    }
    return t.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)


def _siglip_config(t: Any, tower: dict[str, int], vision: dict[str, int]) -> Any:
    text = {
        **tower,
        "vocab_size": 64,
        "max_position_embeddings": 12,
        "eos_token_id": 1,
        "bos_token_id": 0,
        "pad_token_id": 1,
    }
    return t.SiglipConfig(text_config=text, vision_config=vision)


def make_tokenizer(t: Any) -> Any:
    """Words of a fixed list, between a start and an end token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = [
        "<start>",
        "<end>",
        "<unknown>",
        "a",
        "photo",
        "of",
        "the",
        "red",
        "blue",
        "green",
        "cat",
        "dog",
        "house",
    ]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
    )
    return t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<start>",
        eos_token="<end>",
        unk_token="<unknown>",
        pad_token="<end>",
    )
