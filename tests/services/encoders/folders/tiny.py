"""Tiny models with random weights in the layouts that users bring, as their libraries save them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.services.encoders.conftest import EDGE, make_tokenizer, spread

_TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = {**_TOWER, "image_size": EDGE, "patch_size": 8}
_TEXT = {
    **_TOWER,
    "vocab_size": 64,
    "max_position_embeddings": 12,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
_STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "num_attention_heads": [1, 1, 2, 2]}
_SQUARE = {"height": EDGE, "width": EDGE}


def _processor(stem: str, size: Any = EDGE, **keys: Any) -> Mapping[str, Any]:
    """A file of the older form: a feature extractor, and a size that is one number."""
    return {"feature_extractor_type": f"{stem}FeatureExtractor", "size": size, **keys}


Maker = Callable[[Any], tuple[Any, Mapping[str, Any]]]
"""From the transformers package to a model and what its preprocessor file says."""

MODELS: Mapping[str, Maker] = {
    "vit_classifier": lambda t: (
        t.ViTForImageClassification(t.ViTConfig(**_VISION)),
        _processor("ViT", resample=2),
    ),
    "vit_mae": lambda t: (t.ViTMAEForPreTraining(_mae(t)), _processor("ViT")),
    "beit": lambda t: (
        t.BeitForImageClassification(t.BeitConfig(**_VISION)),
        _processor("Beit", crop_size=EDGE, do_center_crop=False),
    ),
    "dit": lambda t: (
        t.BeitForMaskedImageModeling(t.BeitConfig(**_VISION, use_mask_token=True)),
        _processor("Beit", crop_size=EDGE, do_center_crop=False),
    ),
    "data2vec": lambda t: (
        t.Data2VecVisionModel(t.Data2VecVisionConfig(**_VISION), add_pooling_layer=False),
        _processor("Beit", crop_size=EDGE, do_center_crop=False),
    ),
    "segformer": lambda t: (
        t.SegformerForSemanticSegmentation(
            t.SegformerConfig(
                depths=[1] * 4,
                hidden_sizes=[8, 16, 24, 32],
                num_attention_heads=[1, 1, 2, 2],
                decoder_hidden_size=16,
            )
        ),
        _processor("Segformer", reduce_labels=True),
    ),
    "efficientnet": lambda t: (
        t.EfficientNetForImageClassification(_efficientnet(t)),
        {"image_processor_type": "EfficientNetImageProcessor", "size": _SQUARE, "include_top": True},
    ),
    "mobilevit": lambda t: (
        t.MobileViTForImageClassification(
            t.MobileViTConfig(
                image_size=EDGE,
                hidden_sizes=[16, 24, 32],
                neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32],
                num_attention_heads=2,
            )
        ),
        _processor("MobileViT", {"shortest_edge": 40}, crop_size=_SQUARE, resample=2),
    ),
    "align": lambda t: (
        t.AlignModel(
            t.AlignConfig(
                text_config={**_TEXT, "type_vocab_size": 1},
                vision_config=_efficientnet(t).to_dict(),
                projection_dim=8,
            )
        ),
        {
            "image_processor_type": "EfficientNetImageProcessor",
            "size": {"height": 40, "width": 40},
            "crop_size": _SQUARE,
            "do_center_crop": True,
            "do_normalize": False,
            "include_top": False,
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
        },
    ),
    "clip_projected": lambda t: (
        t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(**_VISION, projection_dim=24)),
        _processor("CLIP", crop_size=EDGE),
    ),
    "clip_classifier": lambda t: (
        t.CLIPForImageClassification(t.CLIPConfig(text_config=_TEXT, vision_config=_VISION)),
        _processor("CLIP", crop_size=EDGE),
    ),
    "siglip_classifier": lambda t: (
        t.SiglipForImageClassification(t.SiglipConfig(text_config=_TEXT, vision_config=_VISION)),
        {"image_processor_type": "SiglipImageProcessorFast", "size": _SQUARE},
    ),
    "dinov3": lambda t: (
        t.DINOv3ViTModel(t.DINOv3ViTConfig(**_VISION, num_register_tokens=2)),
        {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": _SQUARE, "crop_size": None},
    ),
    "dinov3_convnext": lambda t: (
        t.DINOv3ConvNextModel(
            t.DINOv3ConvNextConfig(depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], image_size=EDGE)
        ),
        {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": _SQUARE},
    ),
    "cvt": lambda t: (
        t.CvtForImageClassification(
            t.CvtConfig(embed_dim=[8, 16, 32], num_heads=[1, 2, 2], depth=[1, 2, 3], patch_sizes=[7, 3, 3])
        ),
        _processor("ConvNext"),
    ),
    "levit": lambda t: (
        t.LevitForImageClassification(
            t.LevitConfig(
                image_size=64,
                hidden_sizes=[32, 48, 64],
                num_attention_heads=[2, 3, 4],
                depths=[1, 1, 1],
                key_dim=[8, 8, 8],
            )
        ),
        _processor("Levit", 64, crop_size=64),
    ),
    "poolformer": lambda t: (
        t.PoolFormerForImageClassification(
            t.PoolFormerConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
        ),
        _processor("PoolFormer", crop_size=EDGE),
    ),
    "clip": lambda t: (
        t.CLIPModel(t.CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=24)),
        _processor("CLIP", crop_size=EDGE),
    ),
}
DUAL = ("clip", "align")


def write_model(kind: str, path: Path, **how: Any) -> Path:
    """The folder of a tiny model of a kind in ``MODELS``; ``how`` goes to ``save_pretrained``."""
    import torch
    import transformers as t

    torch.manual_seed(11)
    model, processor = MODELS[kind](t)
    spread(model)
    _settle(model)
    model.eval().save_pretrained(path, **how)
    (path / "preprocessor_config.json").write_text(json.dumps(processor))
    if kind in DUAL:
        make_tokenizer(t).save_pretrained(path)
    return path


def _settle(model: Any) -> None:
    """Statistics of batch normalisation as after training, without which a deep network's signal dies away,
    and biases other than zero, without which black gives a vector of zeros."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(0, 0.01)
        norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None  # the mean over all batches
        if norms:
            vision = getattr(model, "vision_model", model)
            size = getattr(vision.config, "image_size", EDGE)
            smooth = torch.nn.functional.interpolate(torch.randn(16, 3, 3, 3), size, mode="bilinear")
            vision.train()(smooth)


def _mae(t: Any) -> Any:
    decoder = {"decoder_hidden_size": 16, "decoder_intermediate_size": 16, "decoder_num_hidden_layers": 1}
    return t.ViTMAEConfig(**_VISION, **decoder, decoder_num_attention_heads=2)


def _efficientnet(t: Any) -> Any:
    return t.EfficientNetConfig(
        image_size=EDGE,
        width_coefficient=0.25,
        depth_coefficient=0.3,
        hidden_dim=320,
        kernel_sizes=[3, 3],
        in_channels=[32, 16],
        out_channels=[16, 24],
        depthwise_padding=[],
        strides=[1, 2],
        num_block_repeats=[1, 1],
        expand_ratios=[1, 6],
    )


def write_open_clip(path: Path) -> Path:
    """The folder of a tiny CLIP model as open_clip saves it."""
    import numpy as np
    import transformers as t
    from safetensors.numpy import save_file

    random = np.random.default_rng(3)

    def some(*shape: int) -> Any:
        return (random.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)

    tensors = {
        "logit_scale": some(1),
        "positional_embedding": some(12, 32),
        "token_embedding.weight": some(64, 32),
        "text_projection": some(32, 24),
        "visual.class_embedding": some(32),
        "visual.positional_embedding": some(17, 32),
        "visual.conv1.weight": some(32, 3, 8, 8),
        "visual.proj": some(32, 24),
    }
    layers = {
        "attn.in_proj": (96, 32),
        "attn.out_proj": (32, 32),
        "mlp.c_fc": (128, 32),
        "mlp.c_proj": (32, 128),
    }
    for side in ("", "visual."):
        for number in range(2):
            layer = f"{side}transformer.resblocks.{number}."
            for name, shape in layers.items():
                joint = "_" if name.endswith("in_proj") else "."
                tensors |= {
                    f"{layer}{name}{joint}weight": some(*shape),
                    f"{layer}{name}{joint}bias": some(shape[0]),
                }
            tensors |= _norm(f"{layer}ln_1") | _norm(f"{layer}ln_2")
    for name in ("ln_final", "visual.ln_pre", "visual.ln_post"):
        tensors |= _norm(name)
    path.mkdir(parents=True)
    save_file(tensors, path / "open_clip_model.safetensors")
    tower = {"width": 32, "layers": 2}
    config = {
        "model_cfg": {
            "embed_dim": 24,
            "vision_cfg": {**tower, "image_size": EDGE, "patch_size": 8, "head_width": 16},
            "text_cfg": {**tower, "heads": 2, "context_length": 12, "vocab_size": 64},
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3},
    }
    (path / "open_clip_config.json").write_text(json.dumps(config))
    make_tokenizer(t).save_pretrained(path)
    return path


def _norm(name: str) -> dict[str, Any]:
    import numpy as np

    return {f"{name}.weight": np.ones(32, np.float32), f"{name}.bias": np.zeros(32, np.float32)}
