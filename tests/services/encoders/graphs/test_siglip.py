from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.encoders.graphs.conftest import assert_same, build, noise, run
from vitrine.services.errors import ModelUnavailable

torch = pytest.importorskip("torch")

TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}
TEXT = {**TOWER, "vocab_size": 300, "max_position_embeddings": 12}
Save = Callable[[Any], Path]


@pytest.mark.parametrize(
    ("vision", "text"),
    [
        (
            {"num_attention_heads": 4, "layer_norm_eps": 1e-3, "hidden_act": "gelu"},
            {"hidden_size": 48, "projection_size": 32, "max_position_embeddings": 7},
        ),
        ({"image_size": 37, "patch_size": 7, "num_hidden_layers": 1}, {}),
    ],
    ids=["other sizes", "pixels over"],
)
def test_both_towers_equal_transformers(save: Save, vision: dict[str, Any], text: dict[str, Any]) -> None:
    import transformers as t

    texts = {**TEXT, **text}
    model = t.SiglipModel(t.SiglipConfig(text_config=texts, vision_config={**VISION, **vision}))
    edge, length = vision.get("image_size", 32), texts["max_position_embeddings"]
    images = noise((edge, edge))
    ids = torch.randint(0, 300, (5, length), generator=torch.Generator().manual_seed(4))
    ids[1, 2:] = 1
    graph = build(save(model), (edge, edge))
    assert (graph.dim, graph.pooling) == (32, "head")
    assert_same(run(graph.image, images.numpy()), model.get_image_features(pixel_values=images).pooler_output)
    assert graph.text is not None
    assert (graph.text.length, graph.text.full, graph.text.lower_case) == (length, True, True)
    assert_same(run(graph.text.model, ids.numpy()), model.get_text_features(input_ids=ids).pooler_output)


@pytest.mark.parametrize("kind", ["tower", "headless", "classifier"])
def test_the_image_tower_alone(save: Save, kind: str) -> None:
    import transformers as t

    config = t.SiglipVisionConfig(**VISION, vision_use_head=kind != "headless")
    model = t.SiglipVisionModel(config)
    if kind == "classifier":
        model = t.SiglipForImageClassification(t.SiglipConfig(text_config=TEXT, vision_config=VISION))
    images = noise((32, 32))
    graph = build(save(model), (32, 32))
    output = (model.vision_model if kind == "classifier" else model)(pixel_values=images)
    assert graph.text is None
    assert graph.pooling == ("mean" if kind == "headless" else "head")
    wanted = output.last_hidden_state.mean(1) if kind == "headless" else output.pooler_output
    assert_same(run(graph.image, images.numpy()), wanted)


def test_images_only_does_without_the_texts_weights(save: Save) -> None:
    import transformers as t
    from safetensors.numpy import load_file, save_file

    folder = save(t.SiglipModel(t.SiglipConfig(text_config=TEXT, vision_config=VISION)))
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if not k.startswith("text")}, folder / "model.safetensors")
    assert build(folder, (32, 32), images_only=True).text is None
    with pytest.raises(ModelUnavailable, match=r"lacks weights .*text_model\."):
        build(folder, (32, 32))
