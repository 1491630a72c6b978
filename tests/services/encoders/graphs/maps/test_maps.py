"""Convolutional networks against transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.encoders.graphs.conftest import assert_same, build, noise, run

torch = pytest.importorskip("torch")

RESNET = {"embedding_size": 16, "hidden_sizes": [16, 32, 24], "depths": [2, 1, 2]}
CONVNEXT = {"hidden_sizes": [16, 24, 32], "depths": [1, 2, 1], "num_stages": 3}
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
    ],
)
def test_the_pooled_map_equals_transformers(
    save: Callable[[Any], Path], kind: str, more: dict[str, Any], size: tuple[int, int], headed: bool
) -> None:
    import transformers as t

    config = getattr(t, f"{kind}Config")(**more)
    model = getattr(t, f"{kind}ForImageClassification" if headed else f"{kind}Model")(config)
    images = noise(size)
    graph = build(save(model), size)
    assert (graph.pooling, graph.text, graph.convolutional) == ("mean", None, True)
    base = getattr(model, model.base_model_prefix) if headed else model
    wanted = base(pixel_values=images).pooler_output.flatten(1)
    assert graph.dim == wanted.shape[1]
    assert_same(run(graph.image, images.numpy()), wanted)
