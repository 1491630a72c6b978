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

CONFIG: dict[str, Any] = {
    "architecture": "vit_small_patch16_224",
    "global_pool": "token",
    "model_args": {"embed_dim": 32, "num_heads": 2, "depth": 2, "img_size": 32},
    "pretrained_cfg": {"input_size": [3, 32, 32]},
}


def renamed(tensors: dict[str, Any], *, mean: bool) -> dict[str, Any]:
    """The weights of transformers' ViT under timm's names; ``mean``: with its last norm behind the mean."""
    found = {
        "cls_token": tensors["embeddings.cls_token"],
        "pos_embed": tensors["embeddings.position_embeddings"],
    }
    for kind in ("weight", "bias"):
        found[f"patch_embed.proj.{kind}"] = tensors[f"embeddings.patch_embeddings.projection.{kind}"]
        found[f"{'fc_norm' if mean else 'norm'}.{kind}"] = tensors[f"layernorm.{kind}"]
        for layer in range(2):
            old, new = f"encoder.layer.{layer}.", f"blocks.{layer}."
            parts = [tensors[f"{old}attention.attention.{name}.{kind}"] for name in ("query", "key", "value")]
            found |= {
                f"{new}attn.qkv.{kind}": np.concatenate(parts),
                f"{new}attn.proj.{kind}": tensors[f"{old}attention.output.dense.{kind}"],
                f"{new}norm1.{kind}": tensors[f"{old}layernorm_before.{kind}"],
                f"{new}norm2.{kind}": tensors[f"{old}layernorm_after.{kind}"],
                f"{new}mlp.fc1.{kind}": tensors[f"{old}intermediate.dense.{kind}"],
                f"{new}mlp.fc2.{kind}": tensors[f"{old}output.dense.{kind}"],
            }
    return found


@pytest.mark.parametrize("mean", [False, True])
def test_its_layout_is_read_as_that_of_transformers(
    save: Callable[[Any], Path], tmp_path: Path, mean: bool
) -> None:
    torch = pytest.importorskip("torch")
    import transformers as t
    from safetensors.numpy import load_file, save_file

    model = t.ViTModel(
        t.ViTConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
            layer_norm_eps=1e-6,
        ),
        add_pooling_layer=False,
    )
    tensors = load_file(save(model) / "model.safetensors")
    save_file(renamed(tensors, mean=mean), tmp_path / "model.safetensors")
    config = {**CONFIG, "global_pool": "avg" if mean else "token"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    images = noise((32, 32))
    norm, model.layernorm = model.layernorm, torch.nn.Identity()
    states = model(pixel_values=images).last_hidden_state
    graph = build(tmp_path, (32, 32))
    assert (graph.dim, graph.pooling) == (32, "mean" if mean else "cls")
    wanted = norm(states[:, 1:].mean(1)) if mean else norm(states)[:, 0]
    assert_same(run(graph.image, images.numpy()), wanted)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"architecture": "resnet50"}, "timm's resnet50"),
        ({"architecture": "vit_base_patch16_siglip_224"}, "timm's vit_base_patch16_siglip_224"),
        ({"model_args": {"embed_dim": 32, "qk_norm": True}}, "made with qk_norm"),
        ({"pretrained_cfg": {"input_size": [3, 48, 48]}}, "reads 48x48"),
    ],
)
def test_networks_of_other_kinds_are_refused(more: dict[str, Any], said: str) -> None:
    config = {**CONFIG, **more}
    maker = next(maker for maker in makers() if maker.takes(config))
    with pytest.raises(ModelUnavailable, match=said):
        maker.build(config, Weights([]), (32, 32))
