from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.encoders.graphs.conftest import assert_same, build, noise, run
from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.errors import ModelUnavailable

torch = pytest.importorskip("torch")

VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
Save = Callable[[Any], Path]


@pytest.mark.parametrize(
    ("kind", "more", "headed"),
    [
        ("ViT", {}, False),
        ("ViT", {"qkv_bias": False, "hidden_act": "gelu_new", "num_attention_heads": 4}, True),
        ("DeiT", {"image_size": (48, 24), "patch_size": (16, 8), "num_hidden_layers": 1}, False),
        ("DeiT", {}, True),
        ("ViTMSN", {}, False),
        ("ViTMSN", {}, True),
    ],
)
def test_the_class_token_equals_transformers(
    save: Save, kind: str, more: dict[str, Any], headed: bool
) -> None:
    import transformers as t

    config = getattr(t, f"{kind}Config")(**{**VISION, **more})
    unpooled = {} if kind == "ViTMSN" else {"add_pooling_layer": False}
    model = (
        getattr(t, f"{kind}ForImageClassification")(config)
        if headed
        else getattr(t, f"{kind}Model")(config, **unpooled)
    )
    images = noise(tuple(more.get("image_size", (32, 32))))
    graph = build(save(model), images.shape[2:])
    assert (graph.dim, graph.pooling, graph.text) == (32, "cls", None)
    base = getattr(model, model.base_model_prefix) if headed else model
    assert_same(run(graph.image, images.numpy()), base(pixel_values=images).last_hidden_state[:, 0])


@pytest.mark.parametrize(
    ("more", "trained"), [({}, True), ({"pooler_output_size": 20, "pooler_act": "relu"}, True), ({}, False)]
)
def test_a_pooler_is_used_where_it_was_trained(save: Save, more: dict[str, Any], trained: bool) -> None:
    import transformers as t

    model = t.ViTModel(t.ViTConfig(**{**VISION, **more}))
    folder = save(model)
    if not trained:
        torch.nn.init.zeros_(model.pooler.dense.bias)
        model.save_pretrained(folder)
    images = noise((32, 32))
    output = model(pixel_values=images)
    graph = build(folder, (32, 32))
    assert graph.pooling == ("pooler" if trained else "cls")
    wanted = output.pooler_output if trained else output.last_hidden_state[:, 0]
    assert_same(run(graph.image, images.numpy()), wanted)


def test_of_mae_the_mean_of_all_patches_is_taken(save: Save) -> None:
    import transformers as t

    model = t.ViTMAEForPreTraining(
        t.ViTMAEConfig(
            **VISION, decoder_hidden_size=16, decoder_intermediate_size=16, decoder_num_attention_heads=2
        )
    )
    folder = save(model)
    encoder = t.ViTModel(t.ViTConfig(**VISION), add_pooling_layer=False).eval()
    encoder.load_state_dict(model.vit.state_dict())
    images = noise((32, 32))
    graph = build(folder, (32, 32))
    assert graph.pooling == "mean"
    assert_same(
        run(graph.image, images.numpy()), encoder(pixel_values=images).last_hidden_state[:, 1:].mean(1)
    )


def test_missing_weights_are_named(save: Save) -> None:
    import transformers as t
    from safetensors.numpy import load_file, save_file

    folder = save(t.ViTForImageClassification(t.ViTConfig(**VISION)))
    tensors = load_file(folder / "model.safetensors")
    del tensors["vit.encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(
        ModelUnavailable, match=r"asks for: vit\.encoder\.layer\.1\.output\.dense\.weight\. Its"
    ):
        build(folder, (32, 32))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hidden_size": "wide"}, "hidden_size is 'wide'"),
        ({"num_attention_heads": 3}, "3 heads"),
        ({"num_channels": 1}, "1 channels"),
        ({"hidden_act": "mystery"}, "activation mystery"),
        ({"image_size": [32]}, r"image_size is '\[32\]'"),
    ],
)
def test_configs_that_make_no_sense_are_refused(wrong: dict[str, Any], said: str, save: Save) -> None:
    import transformers as t

    from vitrine.services.encoders.graphs.makers import makers

    model = t.ViTModel(t.ViTConfig(**VISION))
    weights = Weights([save(model) / "model.safetensors"])
    config = {"model_type": "vit", **VISION, **wrong}
    maker = next(maker for maker in makers() if maker.takes(config))
    with pytest.raises(ModelUnavailable, match=said):
        maker.build(config, weights, (32, 32))
