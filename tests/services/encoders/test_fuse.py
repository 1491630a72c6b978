from __future__ import annotations

import pytest

pytest.importorskip("torch")


import copy

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, ViTConfig, ViTModel

from vitrine.services.encoders.families.transformers import fuse_quick_gelu


def test_a_fused_clip_tower_gives_the_same_features() -> None:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    model = CLIPVisionModel(config).eval()
    fused = copy.deepcopy(model)
    assert fuse_quick_gelu(fused) == 3
    pixels = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            fused(pixels).pooler_output, model(pixels).pooler_output, rtol=1e-5, atol=1e-5
        )
    assert fuse_quick_gelu(fused) == 0


def test_other_activations_are_left_alone() -> None:
    model = ViTModel(
        ViTConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    )
    assert fuse_quick_gelu(model) == 0
