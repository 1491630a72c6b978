from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.services.encoders.graphs.conftest import assert_same, build, noise, run
from vitrine.services.encoders.graphs.makers import makers
from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.errors import ModelUnavailable

VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 12, "vocab_size": 300, "width": 48, "heads": 4, "layers": 1}
CONFIG = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT}


def side_of(tensors: dict[str, Any], side: str, prefix: str) -> dict[str, Any]:
    """One tower of transformers' CLIP under open_clip's names."""
    given = {name.removeprefix(side): tensor for name, tensor in tensors.items() if name.startswith(side)}
    found = {
        f"{prefix}positional_embedding": given["embeddings.position_embedding.weight"],
        **_norm(given, "pre_layrnorm" if "pre_layrnorm.weight" in given else None, f"{prefix}ln_pre"),
    }
    if prefix == "visual.":
        found |= {
            "visual.class_embedding": given["embeddings.class_embedding"],
            "visual.conv1.weight": given["embeddings.patch_embedding.weight"],
            **_norm(given, "post_layernorm", "visual.ln_post"),
        }
    else:
        found |= {
            f"{prefix}token_embedding.weight": given["embeddings.token_embedding.weight"],
            **_norm(given, "final_layer_norm", f"{prefix}ln_final"),
        }
    for layer in range(2 if prefix == "visual." else 1):
        old, new = f"encoder.layers.{layer}.", f"{prefix}transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            parts = [given[f"{old}self_attn.{name}_proj.{kind}"] for name in "qkv"]
            found |= {
                f"{new}attn.in_proj_{kind}": np.concatenate(parts),
                f"{new}attn.out_proj.{kind}": given[f"{old}self_attn.out_proj.{kind}"],
                f"{new}ln_1.{kind}": given[f"{old}layer_norm1.{kind}"],
                f"{new}ln_2.{kind}": given[f"{old}layer_norm2.{kind}"],
                f"{new}mlp.c_fc.{kind}": given[f"{old}mlp.fc1.{kind}"],
                f"{new}mlp.c_proj.{kind}": given[f"{old}mlp.fc2.{kind}"],
            }
    return found


def _norm(given: dict[str, Any], old: str | None, new: str) -> dict[str, Any]:
    return {} if old is None else {f"{new}.{kind}": given[f"{old}.{kind}"] for kind in ("weight", "bias")}


@pytest.mark.parametrize(("quick", "prefix"), [(False, ""), (True, "text.")])
def test_its_layout_is_read_as_that_of_transformers(
    save: Callable[[Any], Path], tmp_path: Path, quick: bool, prefix: str
) -> None:
    torch = pytest.importorskip("torch")
    import transformers as t
    from safetensors.numpy import load_file, save_file

    act = {"hidden_act": "quick_gelu" if quick else "gelu"}
    vision = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"hidden_size": 48, "intermediate_size": 192, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = t.CLIPModel(
        t.CLIPConfig(
            vision_config={**vision, **act, "image_size": 32, "patch_size": 8},
            text_config={**text, **act, "vocab_size": 300, "max_position_embeddings": 12, "eos_token_id": 2},
            projection_dim=24,
        )
    )
    tensors = load_file(save(model) / "model.safetensors")
    save_file(
        {
            **side_of(tensors, "vision_model.", "visual."),
            **side_of(tensors, "text_model.", prefix),
            "visual.proj": np.ascontiguousarray(tensors["visual_projection.weight"].T),
            f"{prefix}text_projection": np.ascontiguousarray(tensors["text_projection.weight"].T),
        },
        tmp_path / "open_clip_model.safetensors",
    )
    config = {"model_cfg": {**CONFIG, "quick_gelu": quick}, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    images = noise((32, 32))
    ids = torch.randint(3, 290, (5, 12), generator=torch.Generator().manual_seed(2))
    ids[:, 6], ids[:, 7:] = 299, 0
    graph = build(tmp_path, (32, 32))
    assert (graph.dim, graph.pooling) == (24, "projected")
    assert_same(run(graph.image, images.numpy()), model.get_image_features(pixel_values=images).pooler_output)
    assert graph.text is not None and graph.text.length == 12
    assert_same(run(graph.text.model, ids.numpy()), model.get_text_features(input_ids=ids).pooler_output)
    assert build(tmp_path, (32, 32), images_only=True).text is None


@pytest.mark.parametrize(
    ("vision", "text", "said"),
    [
        ({"timm_model_name": "vit_base"}, {}, "images by vit_base"),
        ({}, {"hf_model_name": "roberta-base"}, "texts by roberta-base"),
        ({"layers": [3, 4, 6, 3]}, {}, "ResNet"),
        ({"attentional_pool": True}, {}, "vision_cfg.attentional_pool = True"),
        ({"pool_type": "avg"}, {}, "vision_cfg.pool_type = avg"),
        ({}, {"no_causal_mask": True}, "text_cfg.no_causal_mask"),
    ],
)
def test_networks_of_other_kinds_are_refused(vision: dict[str, Any], text: dict[str, Any], said: str) -> None:
    config = {"model_cfg": {**CONFIG, "vision_cfg": {**VISION, **vision}, "text_cfg": {**TEXT, **text}}}
    maker = next(maker for maker in makers() if maker.takes(config))
    with pytest.raises(ModelUnavailable, match=said):
        maker.build(config, Weights([]), (32, 32))
