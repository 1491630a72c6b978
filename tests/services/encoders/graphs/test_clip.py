from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.services.encoders.graphs.conftest import assert_same, build, noise, run
from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.errors import ModelUnavailable

torch = pytest.importorskip("torch")

TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}
TEXT = {**TOWER, "vocab_size": 300, "max_position_embeddings": 12, "eos_token_id": 299}
Save = Callable[[Any], Path]


def clip(text: dict[str, Any] = TEXT, vision: dict[str, Any] = VISION, **more: Any) -> Any:
    import transformers as t

    return t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24, **more))


def texts(end: int, padding: int, length: int) -> Any:
    """Five texts of other lengths, each with its end token and padding after it."""
    ids = torch.randint(3, 290, (5, length), generator=torch.Generator().manual_seed(2))
    for row, count in enumerate((1, 3, 4, length - 2, length)):
        ids[row, count - 1] = end
        ids[row, count:] = padding
    return ids


@pytest.mark.parametrize(
    ("end", "said", "padding"),
    [(299, 299, 0), (299, 299, 299), (299, 2, 0), (299, 2, 298), (5, 5, 299), (299, 7, 0)],
    ids=["", "padded by ends", "highest", "highest not last", "low", "no end"],
)
def test_texts_end_where_transformers_ends_them(save: Save, end: int, said: int, padding: int) -> None:
    model = clip({**TEXT, "eos_token_id": said})
    graph = build(save(model), (32, 32))
    assert graph.text is not None and graph.text.length == 12 and not graph.text.full
    for length in (12, 5) if (said, padding) == (299, 299) else (12,):
        ids = texts(end, padding, length)
        wanted = model.get_text_features(input_ids=ids).pooler_output
        if said == 7:  # no text ends, so all are read at their first token
            ids[:, 0] = torch.arange(11, 16)
            wanted = model.get_text_features(input_ids=ids).pooler_output
        assert_same(run(graph.text.model, ids.numpy()), wanted)


def test_a_list_of_ends_takes_the_first_of_any(save: Save) -> None:
    model = clip()
    folder = save(model)
    ids = texts(299, 0, 12)
    wanted = model.get_text_features(input_ids=ids).pooler_output
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = [298, 299]
    (folder / "config.json").write_text(json.dumps(config))
    graph = build(folder, (32, 32))
    assert graph.text is not None
    assert_same(run(graph.text.model, ids.numpy()), wanted)
    assert_same(run(graph.text.model, np.where(ids == 299, 298, ids)[3:]), _ends_read(model, ids)[3:])


def _ends_read(model: Any, ids: Any) -> Any:
    """The texts with another token at their end, read at that place."""
    states = model.text_model(input_ids=torch.where(ids == 299, 298, ids)).last_hidden_state
    return model.text_projection(states[torch.arange(5), (ids == 299).int().argmax(1)])


@pytest.mark.parametrize(
    ("vision", "text"),
    [
        ({"hidden_act": "gelu", "layer_norm_eps": 1e-3}, {"hidden_act": "gelu_new"}),
        ({"image_size": 45, "patch_size": 10, "num_attention_heads": 4}, {"num_attention_heads": 8}),
        ({"hidden_size": 48, "num_hidden_layers": 1}, {"hidden_size": 64, "num_hidden_layers": 3}),
    ],
)
def test_images_and_texts_equal_transformers(
    save: Save, vision: dict[str, Any], text: dict[str, Any]
) -> None:
    model = clip({**TEXT, **text}, {**VISION, **vision})
    edge = vision.get("image_size", 32)
    images, ids = noise((edge, edge)), texts(299, 0, 9)
    graph = build(save(model), (edge, edge))
    assert (graph.dim, graph.pooling, graph.convolutional) == (24, "projected", False)
    assert_same(run(graph.image, images.numpy()), model.get_image_features(pixel_values=images).pooler_output)
    assert graph.text is not None
    assert_same(run(graph.text.model, ids.numpy()), model.get_text_features(input_ids=ids).pooler_output)


def test_half_of_the_precision_in_the_file_is_read(save: Save) -> None:
    model = clip()
    folder = save(model)
    model.half().save_pretrained(folder)
    images = noise((32, 32))
    wanted = model.float().get_image_features(pixel_values=images).pooler_output
    assert_same(run(build(folder, (32, 32)).image, images.numpy()), wanted)


def test_sections_of_old_configs_replace_the_new(save: Save) -> None:
    model = clip({**TEXT, "num_attention_heads": 8})
    folder = save(model)
    config = json.loads((folder / "config.json").read_text())
    config["text_config_dict"] = config.pop("text_config")
    config["text_config"] = {"hidden_size": 999}
    (folder / "config.json").write_text(json.dumps(config))
    graph = build(folder, (32, 32))
    ids = texts(299, 0, 9)
    assert graph.text is not None
    assert_same(run(graph.text.model, ids.numpy()), model.get_text_features(input_ids=ids).pooler_output)


@pytest.mark.parametrize("prefixed", [False, True])
@pytest.mark.parametrize("projected", [False, True])
def test_the_image_tower_alone(save: Save, projected: bool, prefixed: bool) -> None:
    import transformers as t

    kind = t.CLIPVisionModelWithProjection if projected else t.CLIPVisionModel
    model = kind(t.CLIPVisionConfig(**VISION, projection_dim=20))
    folder = save(model)
    _rename(folder, prefixed)
    images = noise((32, 32))
    output = model(pixel_values=images)
    graph = build(folder, (32, 32))
    assert graph.text is None
    assert (graph.dim, graph.pooling) == ((20, "projected") if projected else (32, "cls"))
    wanted = output.image_embeds if projected else output.pooler_output
    assert_same(run(graph.image, images.numpy()), wanted)


def _rename(folder: Path, prefixed: bool) -> None:
    """Save the tower's weights with or without the prefix that older versions wrote."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    names = {name: name.removeprefix("vision_model.") for name in tensors}
    head = "vision_model." if prefixed else ""
    save_file(
        {(new if new.startswith("visual") else head + new): tensors[old] for old, new in names.items()},
        folder / "model.safetensors",
    )


def test_of_a_classifier_the_image_tower_is_taken(save: Save) -> None:
    import transformers as t

    model = t.CLIPForImageClassification(t.CLIPConfig(text_config=TEXT, vision_config=VISION))
    images = noise((32, 32))
    graph = build(save(model), (32, 32))
    assert (graph.text, graph.pooling, graph.dim) == (None, "cls", 32)
    assert_same(run(graph.image, images.numpy()), model.vision_model(pixel_values=images).pooler_output)


def test_images_only_does_without_the_texts_weights(save: Save) -> None:
    from safetensors.numpy import load_file, save_file

    model = clip()
    folder = save(model)
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if not k.startswith("text")}, folder / "model.safetensors")
    images = noise((32, 32))
    graph = build(folder, (32, 32), images_only=True)
    assert graph.text is None
    assert_same(run(graph.image, images.numpy()), model.get_image_features(pixel_values=images).pooler_output)
    with pytest.raises(
        ModelUnavailable, match=r"lacks weights .*text_model\.\S+, text_model\S+, text_model\S+ and"
    ):
        build(folder, (32, 32))


def test_weights_of_another_shape_are_refused(save: Save) -> None:
    folder = save(clip())
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["intermediate_size"] = 50
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match=r"mlp.fc1.weight in the shape \(48, 32\).* \(50, 32\)"):
        build(folder, (32, 32))


def test_images_of_another_size_are_refused(save: Save) -> None:
    folder = save(clip())
    with pytest.raises(ModelUnavailable, match=r"40x32 pixels.*32x32"):
        build(folder, (40, 32))


def test_the_graph_lives_without_its_files(save: Save) -> None:
    model = clip()
    folder = save(model)
    graph = build(folder, (32, 32))
    (folder / "model.safetensors").unlink()
    images = noise((32, 32))
    assert_same(run(graph.image, images.numpy()), model.get_image_features(pixel_values=images).pooler_output)
    assert not Weights([]).names
