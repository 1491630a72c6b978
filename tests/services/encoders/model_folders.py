"""Tiny models with random weights of the families that once gave wrong vectors, as their authors or users
save them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.services.encoders.conftest import EDGE, make_tokenizer, spread

LONGEST = 12
"""Tokens that every text tower here reads."""
_TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = {**_TOWER, "image_size": EDGE, "patch_size": 8}
_SPECIAL = {"vocab_size": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
_TEXT = {**_TOWER, **_SPECIAL, "max_position_embeddings": LONGEST}
_XLM_R = {**_TOWER, **_SPECIAL, "max_position_embeddings": LONGEST + 2, "type_vocab_size": 1}
"""Its places begin behind the padding token's number, so that two rows of the table are of no use."""
_GROUPS = {
    "depths": [1, 1, 1],
    "num_hidden_layers": 3,
    "num_group_tokens": [8, 4, 0],
    "num_output_groups": [8, 4, 0],
}


def write_family(kind: str, path: Path) -> Path:
    """The folder of a tiny model of a kind in ``_MODELS``."""
    import torch
    import transformers as t

    torch.manual_seed(11)
    model = _MODELS[kind](t).eval()
    spread(model)
    model.save_pretrained(path)
    size = {"height": EDGE, "width": EDGE}
    t.ViTImageProcessorPil(size=size).save_pretrained(path)
    if not kind.endswith(("mae", "projected")):
        make_tokenizer(t).save_pretrained(path)
    if kind == "clip_left":
        change(path / "tokenizer_config.json", padding_side="left")
    return path


def change(file: Path, **values: object) -> None:
    """Put these values into a JSON file."""
    tree = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**tree, **values}), encoding="utf-8")


def _dual(
    model: Any, config: Any, text: Mapping[str, Any] = _TEXT, vision: Mapping[str, Any] = _VISION, **more: Any
) -> Any:
    return model(config(text_config=dict(text), vision_config=dict(vision), projection_dim=24, **more))


def _vision_text_dual(t: Any) -> Any:
    sides = t.ViTConfig(**_VISION), t.XLMRobertaConfig(**_XLM_R)
    config = t.VisionTextDualEncoderConfig.from_vision_text_configs(*sides, projection_dim=24)
    return t.VisionTextDualEncoderModel(config)


def _blip_2(t: Any) -> Any:
    former = {**_TOWER, "encoder_hidden_size": 32, "vocab_size": 64, "max_position_embeddings": LONGEST}
    language = {
        **_SPECIAL,
        "model_type": "opt",
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "word_embed_proj_dim": 32,
    }
    text = {**language, "num_attention_heads": 2, "max_position_embeddings": LONGEST}
    return t.Blip2Model(
        t.Blip2Config(vision_config=_VISION, qformer_config=former, text_config=text, num_query_tokens=4)
    )


_MODELS: Mapping[str, Callable[[Any], Any]] = {
    "vit_mae": lambda t: t.ViTMAEModel(t.ViTMAEConfig(**_VISION)),
    "clip_left": lambda t: _dual(t.CLIPModel, t.CLIPConfig),
    "clip_projected": lambda t: t.CLIPVisionModelWithProjection(
        t.CLIPVisionConfig(**_VISION, projection_dim=24)
    ),
    "metaclip_2_projected": lambda t: t.MetaClip2VisionModelWithProjection(
        t.MetaClip2VisionConfig(**_VISION, projection_dim=24)
    ),
    "altclip": lambda t: _dual(t.AltCLIPModel, t.AltCLIPConfig, {**_XLM_R, "project_dim": 20}),
    "vision_text_dual": _vision_text_dual,
    "metaclip_2": lambda t: _dual(t.MetaClip2Model, t.MetaClip2Config),
    "aimv2": lambda t: _dual(t.Aimv2Model, t.Aimv2Config),
    "siglip2": lambda t: t.SiglipModel(t.SiglipConfig(text_config=_TEXT, vision_config=_VISION)),
    "groupvit": lambda t: _dual(
        t.GroupViTModel, t.GroupViTConfig, vision={**_VISION, **_GROUPS}, projection_intermediate_dim=32
    ),
    "blip_2": _blip_2,
    "flava": lambda t: t.FlavaModel(
        t.FlavaConfig(text_config=_TEXT, image_config=_VISION, multimodal_config=_TOWER, projection_dim=24)
    ),
}
