"""A trunk cut in two is the same trunk, whatever the model."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import transformers as t
from torch import nn

from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.encoders.families.clip import DualImageEncoder
from vitrine.services.encoders.families.vit import VisionEncoder
from vitrine.services.errors import BadRequest
from vitrine.training.metric.last_blocks import SplitTrunk, find_blocks

EDGE = 32
TOWER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
VISION = {**TOWER, "image_size": EDGE, "patch_size": 8}
TEXT = {**TOWER, "vocab_size": 64, "max_position_embeddings": 12}
MAKERS = {
    "vit": lambda: t.ViTModel(t.ViTConfig(**VISION)),
    "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**VISION)),
    "clip_vision": lambda: t.CLIPVisionModel(t.CLIPVisionConfig(**VISION)),
    "clip": lambda: t.CLIPModel(t.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)),
    "siglip": lambda: t.SiglipModel(t.SiglipConfig(text_config=TEXT, vision_config=VISION)),
    "convnext": lambda: t.ConvNextModel(
        t.ConvNextConfig(depths=[1, 1, 1], hidden_sizes=[8, 8, 16], num_stages=3, image_size=EDGE)
    ),
    "mobilenet": lambda: t.MobileNetV2Model(t.MobileNetV2Config(image_size=EDGE, depth_multiplier=0.25)),
    "resnet": lambda: t.ResNetModel(
        t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16], depths=[1, 1, 1], layer_type="basic")
    ),
}


def encoder(kind: str):
    torch.manual_seed(2)
    model = MAKERS[kind]().eval()
    preprocessing = Preprocessing((EDGE, EDGE), None, (0.5,) * 3, (0.5,) * 3)
    spec = EncoderSpec("tiny", "tiny", "0", 16, ("image",), preprocessing)
    if kind in ("clip", "siglip"):
        return DualImageEncoder(spec, model, device="cpu")
    return VisionEncoder(spec, model, "pooler", device="cpu")


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", MAKERS)
def test_front_and_tail_make_the_whole(kind, blocks):
    made = encoder(kind)
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    split, batch = SplitTrunk(made, blocks), torch.randn(3, 3, EDGE, EDGE)
    hidden = split.front(batch)
    assert not hidden.requires_grad
    torch.testing.assert_close(split.tail(hidden), made.features(batch), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made.model.state_dict(), before)  # the model is whole again


@pytest.mark.parametrize("kind", MAKERS)
def test_only_the_tail_is_trained_and_all_of_it(kind):
    made = encoder(kind)
    for value in made.model.parameters():
        value.requires_grad_(False)
    split = SplitTrunk(made, 1)
    _, _, blocks = find_blocks(made.model)
    last = {id(value) for value in blocks[-1].parameters()}
    trained = {id(value) for value in split.trained.values()}
    earlier = {id(value) for block in list(blocks)[:-1] for value in block.parameters()}
    assert last <= trained
    assert not earlier & trained
    assert trained == {id(value) for value in made.model.parameters() if value.requires_grad}
    split.tail(split.front(torch.randn(2, 3, EDGE, EDGE))).sum().backward()
    assert all(value.grad is not None for value in split.trained.values())
    assert all(
        value.grad is None for name, value in made.model.named_parameters() if name not in split.trained
    )


def test_the_text_side_and_random_poolers_are_never_trained():
    names = SplitTrunk(encoder("clip"), 0).trained
    assert "visual_projection.weight" in names
    assert not any(name.startswith(("text_model", "text_projection", "logit_scale")) for name in names)


def test_more_blocks_are_trained_when_asked():
    counts = [len(SplitTrunk(encoder("mobilenet"), blocks).trained) for blocks in (1, 2, 4, 0)]
    assert np.all(np.diff(counts) > 0)


def test_what_cannot_be_cut_is_told():
    with pytest.raises(BadRequest, match="has 3 blocks"):
        SplitTrunk(encoder("vit"), 4)
    with pytest.raises(BadRequest, match="not known"):
        find_blocks(nn.Sequential(nn.Linear(2, 2)))
