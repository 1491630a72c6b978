"""Convolutional networks, Swin and SegFormer against transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.encoders.graphs.conftest import assert_same, build, noise, run

torch = pytest.importorskip("torch")

RESNET = {"embedding_size": 16, "hidden_sizes": [16, 32, 24], "depths": [2, 1, 2]}
CONVNEXT = {"hidden_sizes": [16, 24, 32], "depths": [1, 2, 1], "num_stages": 3}
REGNET = {**RESNET, "groups_width": 8}
EFFICIENT = {
    "width_coefficient": 0.5,
    "depth_coefficient": 1.2,
    "num_block_repeats": [1] * 7,
    "hidden_dim": 640,
}
SWIN = {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4, "image_size": 64}
SEGFORMER = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 2, 1, 1], "num_attention_heads": [1, 2, 4, 4]}
MOBILE = {"depth_multiplier": 0.25, "expand_ratio": 3.0}


@pytest.mark.parametrize(
    ("kind", "more", "size", "headed"),
    [
        ("ResNet", RESNET, (64, 64), False),
        (
            "ResNet",
            {**RESNET, "layer_type": "basic", "downsample_in_first_stage": True, "hidden_act": "gelu"},
            (65, 47),
            True,
        ),
        ("ResNet", {**RESNET, "downsample_in_bottleneck": True}, (33, 64), False),
        ("ConvNext", CONVNEXT, (64, 64), False),
        ("ConvNext", {**CONVNEXT, "layer_scale_init_value": 0.0, "patch_size": 8}, (70, 50), True),
        ("ConvNextV2", CONVNEXT, (48, 64), True),
        ("MobileNetV2", {**MOBILE, "finegrained_output": False, "output_stride": 8}, (65, 47), True),
        ("MobileNetV2", {**MOBILE, "tf_padding": False, "first_layer_is_expansion": False}, (50, 64), False),
        ("RegNet", REGNET, (64, 64), False),
        ("RegNet", {**REGNET, "layer_type": "x", "downsample_in_first_stage": False}, (65, 47), True),
        ("EfficientNet", {**EFFICIENT, "depthwise_padding": [2, 5]}, (75, 62), True),
        ("Swin", SWIN, (64, 64), False),
        ("Swin", {**SWIN, "window_size": 5, "image_size": 84, "qkv_bias": False}, (84, 84), True),
        ("Segformer", {**SEGFORMER, "mlp_ratios": [2, 3, 2, 2]}, (75, 101), True),
    ],
)
def test_the_pooled_map_equals_transformers(
    save: Callable[[Any], Path], kind: str, more: dict[str, Any], size: tuple[int, int], headed: bool
) -> None:
    import transformers as t

    config = getattr(t, f"{kind}Config")(**more)
    model = getattr(t, f"{kind}ForImageClassification" if headed else f"{kind}Model")(config)
    if kind == "EfficientNet":  # else so many halved channels leave nothing of what differs between images
        for name, weight in model.named_parameters():
            if name.endswith(("norm.weight", "bn.weight")):
                torch.nn.init.constant_(weight, 3.0)
    images = noise(size)
    graph = build(save(model), size)
    assert (graph.pooling, graph.text, graph.convolutional) == (
        "mean",
        None,
        kind not in ("Swin", "Segformer"),
    )
    base = getattr(model, model.base_model_prefix) if headed else model
    output = base(pixel_values=images)
    pooled = getattr(output, "pooler_output", None)
    wanted = output.last_hidden_state.mean((2, 3)) if pooled is None else pooled.flatten(1)
    assert graph.dim == wanted.shape[1]
    assert_same(run(graph.image, images.numpy()), wanted)
