"""DINOv2, DINOv3, BEiT and data2vec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.encoders.graphs.conftest import assert_same, build, noise, run
from vitrine.services.errors import ModelUnavailable

torch = pytest.importorskip("torch")

TOWER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8}
VISION = {**TOWER, "intermediate_size": 48, "image_size": 32}
Save = Callable[[Any], Path]


@pytest.mark.parametrize(
    ("registers", "trained", "size", "more"),
    [
        (False, 32, (32, 32), {}),
        (False, 72, (32, 32), {"use_swiglu_ffn": True}),
        (False, 32, (61, 47), {"num_attention_heads": 4, "layer_norm_eps": 1e-3}),
        (True, 72, (24, 40), {"qkv_bias": False}),
        (True, 32, (61, 47), {"use_swiglu_ffn": True}),
    ],
    ids=["same size", "shrunk", "grown", "registers, rectangle", "registers, grown"],
)
def test_dinov2_stretches_its_positions_as_torch_does(
    save: Save, registers: bool, trained: int, size: tuple[int, int], more: dict[str, Any]
) -> None:
    import transformers as t

    name = "Dinov2WithRegisters" if registers else "Dinov2"
    model = getattr(t, f"{name}Model")(
        getattr(t, f"{name}Config")(**{**TOWER, "image_size": trained, **more})
    )
    images = noise(size)
    graph = build(save(model), size)
    assert (graph.dim, graph.pooling) == (32, "cls")
    assert_same(run(graph.image, images.numpy()), model(pixel_values=images).last_hidden_state[:, 0])


def test_dinov2_with_a_classifier_is_read_below_its_prefix(save: Save) -> None:
    import transformers as t

    model = t.Dinov2ForImageClassification(t.Dinov2Config(**TOWER, image_size=32))
    images = noise((32, 32))
    rows = run(build(save(model), (32, 32)).image, images.numpy())
    assert_same(rows, model.dinov2(pixel_values=images).last_hidden_state[:, 0])


@pytest.mark.parametrize(
    ("size", "more"),
    [
        ((32, 32), {"num_register_tokens": 3}),
        ((40, 24), {"use_gated_mlp": True, "hidden_act": "silu", "rope_theta": 50.0}),
        ((32, 48), {"key_bias": True, "mlp_bias": False, "num_attention_heads": 4, "num_register_tokens": 1}),
    ],
)
def test_dinov3_turns_patches_by_their_places(
    save: Save, size: tuple[int, int], more: dict[str, Any]
) -> None:
    import transformers as t

    model = t.DINOv3ViTModel(t.DINOv3ViTConfig(**{**VISION, **more}))
    images = noise(size)
    graph = build(save(model), size)
    assert graph.pooling == "cls"
    assert_same(run(graph.image, images.numpy()), model(pixel_values=images).pooler_output)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Beit", {"use_relative_position_bias": True}),
        ("Beit", {"use_shared_relative_position_bias": True, "use_mean_pooling": False}),
        ("Data2VecVision", {"use_relative_position_bias": True, "use_shared_relative_position_bias": True}),
        (
            "Data2VecVision",
            {
                "use_absolute_position_embeddings": True,
                "layer_scale_init_value": 0.0,
                "num_attention_heads": 4,
            },
        ),
    ],
    ids=["own distances", "shared distances", "both", "positions"],
)
def test_beit_is_the_mean_of_patches(save: Save, kind: str, more: dict[str, Any]) -> None:
    import transformers as t

    model = getattr(t, f"{kind}Model")(getattr(t, f"{kind}Config")(**{**VISION, **more}))
    images = noise((32, 32))
    graph = build(save(model), (32, 32))
    output = model(pixel_values=images)
    assert (graph.dim, graph.pooling) == (32, "mean")
    mean = output.last_hidden_state[:, 1:].mean(1)
    pooled = output.pooler_output is not None and more.get("use_mean_pooling", True)
    assert_same(run(graph.image, images.numpy()), output.pooler_output if pooled else mean)


def test_beit_leaves_out_a_last_norm_that_nobody_trained(save: Save) -> None:
    import transformers as t

    model = t.BeitForImageClassification(t.BeitConfig(**VISION, use_relative_position_bias=True))
    folder = save(model)
    torch.nn.init.zeros_(model.beit.pooler.layernorm.bias)
    model.save_pretrained(folder)
    images = noise((32, 32))
    wanted = model.beit(pixel_values=images).last_hidden_state[:, 1:].mean(1)
    assert_same(run(build(folder, (32, 32)).image, images.numpy()), wanted)


def test_distances_between_patches_of_a_rectangle_are_refused(save: Save) -> None:
    import transformers as t

    model = t.BeitModel(t.BeitConfig(**{**VISION, "image_size": (32, 48)}, use_relative_position_bias=True))
    with pytest.raises(ModelUnavailable, match="4 times 6 patches"):
        build(save(model), (32, 48))
