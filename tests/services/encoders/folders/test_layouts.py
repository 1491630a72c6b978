"""Every layout that users bring loads, and gives what its own library gives, or is refused by a sentence that
says what lies there and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.services.encoders.folders.tiny import MODELS, write_model, write_open_clip
from vitrine.services.encoders.folders.layout import find_layout, read_layout
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import folder_revision, resolve_folder
from vitrine.services.errors import ModelUnavailable

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def first(output: Any) -> Any:
    return output.last_hidden_state[:, 0]


def patches(output: Any) -> Any:
    return output.last_hidden_state[:, 1:].mean(dim=1)


def of_map(output: Any) -> Any:
    return output.last_hidden_state.mean(dim=(2, 3))


def pooler(output: Any) -> Any:
    return output.pooler_output.flatten(1)


USUAL: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "vit_classifier": ("ViTModel", first),
    "vit_mae": ("ViTMAEModel", patches),
    "beit": ("BeitModel", pooler),
    "dit": ("BeitModel", patches),
    "data2vec": ("Data2VecVisionModel", patches),
    "segformer": ("SegformerModel", of_map),
    "efficientnet": ("EfficientNetModel", pooler),
    "mobilevit": ("MobileViTModel", pooler),
    "align": ("AlignModel", pooler),
    "clip_projected": ("CLIPVisionModelWithProjection", lambda output: output.image_embeds),
    "clip_classifier": ("CLIPVisionModel", pooler),
    "siglip_classifier": ("SiglipVisionModel", pooler),
    "dinov3": ("DINOv3ViTModel", pooler),
    "dinov3_convnext": ("DINOv3ConvNextModel", pooler),
    "cvt": ("CvtModel", lambda output: output.cls_token_value.flatten(1)),
    "levit": ("LevitModel", pooler),
    "poolformer": ("PoolFormerModel", of_map),
    "clip": ("CLIPModel", pooler),
}
"""The class of transformers, and what of its output users of the family take."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("layouts")

    def folder(kind: str) -> Path:
        path = root / kind
        return path if path.is_dir() else write_model(kind, path)

    return folder


def rows(folder: Path | str, images: list[Image.Image]) -> np.ndarray:
    encoder = EncoderLoader(offline=True, precision="float32").load(EncoderReference("tiny", str(folder)))
    return encoder.encode_images(images)


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal directions, and equal differences between the pictures: these alone show other pixels where all
    pictures of a random network are alike."""
    theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
    assert (ours * theirs).sum(axis=1).min() > 0.99999
    ours, theirs = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    cosines = (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosines.min() > 0.999


@pytest.mark.parametrize("kind", MODELS)
def test_loads_and_gives_what_its_library_gives(kind, tiny, photos):
    folder, images = tiny(kind), photos[:3]
    name, features = USUAL[kind]
    config = transformers.AutoConfig.from_pretrained(folder)
    vision = (
        config.vision_config if kind.endswith("_classifier") and hasattr(config, "vision_config") else config
    )
    if kind == "vit_mae":
        vision.mask_ratio = 0.0
    model = getattr(transformers, name).from_pretrained(folder, config=vision).eval()
    if kind.startswith("dinov3"):  # the library's own processor asks for torchvision
        processor = transformers.ViTImageProcessorPil(
            size={"height": 32, "width": 32},
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
        )
    else:
        processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    call = getattr(model, "get_image_features", model)
    with torch.inference_mode():
        theirs = features(call(pixel_values=pixels)).numpy()
    assert_same(rows(folder, images), theirs)


def test_open_clips_own_layout_loads_with_its_texts(tmp_path, photos):
    folder = write_open_clip(tmp_path / "open")
    encoder = EncoderLoader(offline=True).load(EncoderReference("tiny", str(folder)))
    assert encoder.spec.dim == 24 and encoder.spec.modalities == ("image", "text")
    assert encoder.encode_images(photos[:2]).shape == (2, 24)
    before = folder_revision(folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.4] * 3
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    assert folder_revision(folder) != before


def test_the_layout_of_transformers_comes_before_open_clips(tiny, tmp_path):
    folder = shutil.copytree(tiny("clip"), tmp_path / "both")
    revision = folder_revision(folder)
    shutil.copy(folder / "model.safetensors", tmp_path / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text("{}")
    assert read_layout(folder).config["model_type"] == "clip"
    assert folder_revision(folder) == revision


def test_sentence_transformers_keeps_its_model_in_a_folder_below(tiny, tmp_path, photos):
    folder = tmp_path / "clip-st"
    inner = shutil.copytree(tiny("clip"), folder / "0_CLIPModel")
    modules = [
        {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    assert read_layout(folder).path == inner
    assert resolve_folder(folder) == resolve_folder(inner)
    np.testing.assert_array_equal(rows(folder, photos[:2]), rows(inner, photos[:2]))
    (folder / "1_Dense").mkdir()
    with pytest.raises(
        ModelUnavailable, match=r"layers behind its model \(1_Dense\), which would be left out"
    ):
        read_layout(folder)


def test_weights_in_several_files_load_and_a_missing_one_is_named(tiny, tmp_path, photos):
    folder = write_model("clip", tmp_path / "parts", max_shard_size="20KB")
    files = read_layout(folder).weights
    assert len(files) > 2 and not (folder / "model.safetensors").exists()
    np.testing.assert_allclose(rows(folder, photos[:2]), rows(tiny("clip"), photos[:2]), atol=1e-6)
    files[1].unlink()
    with pytest.raises(ModelUnavailable, match=rf"lacks {files[1].name}, one of the {len(files)} parts"):
        rows(folder, photos[:1])


# Refused
# ------------------------------------------------------------------------------------------------------------

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 605157884\n"


def only(*names: str) -> Callable[[Path], None]:
    """The folder with these files in the place of its weights."""

    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"\x80" * 40)

    return change


def config(**values: Any) -> Callable[[Path], None]:
    """The folder with these values in its config.json; None takes one out."""

    def change(folder: Path) -> None:
        file = folder / "config.json"
        tree = {**json.loads(file.read_text()), **values}
        file.write_text(json.dumps({key: value for key, value in tree.items() if value is not None}))

    return change


def tensors(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """The folder with its weights edited in place."""

    def change(folder: Path) -> None:
        from safetensors.numpy import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        edit(weights)
        save_file(weights, folder / "model.safetensors")

    return change


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-5000])


def pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text(POINTER)


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def adapter_alone(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")


def below(folder: Path) -> None:
    inner = folder / "snapshots" / "abc"
    inner.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).rename(inner / name)


def eight_bits(weights: dict[str, Any]) -> None:
    name = next(name for name in weights if name.endswith("query.weight"))
    weights[name] = weights[name].astype(np.int8)


def wider(weights: dict[str, Any]) -> None:
    name = next(name for name in weights if name.endswith("query.weight"))
    weights[name] = np.zeros((40, 40), np.float32)


def adapted(weights: dict[str, Any]) -> None:
    weights["vit.encoder.layer.0.attention.query.lora_A.weight"] = np.zeros((2, 32), np.float32)


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "pytorch": (only("pytorch_model.bin"), r"has its weights in pytorch_model\.bin alone.*convert them"),
    "torch": (only("model.pt"), r"has its weights in model\.pt alone.*convert them"),
    "lightning": (only("epoch=3.ckpt"), r"has its weights in epoch=3\.ckpt alone.*convert them"),
    "tensorflow": (only("tf_model.h5"), r"holds TensorFlow weights \(tf_model\.h5\) alone.*original model"),
    "flax": (only("flax_model.msgpack"), r"holds Flax weights \(flax_model\.msgpack\) alone"),
    "onnx": (only("onnx/model.onnx"), r"holds an ONNX model \(model\.onnx\) alone.*model\.safetensors"),
    "gguf": (only("model-Q4_K_M.gguf"), r"holds GGUF weights.*alone.*original model"),
    "openvino": (only("openvino_model.xml"), r"holds an OpenVINO model \(openvino_model\.xml\) alone"),
    "nothing but a config": (only(), r"has no weights: put its model\.safetensors there"),
    "empty": (empty, "is empty: put the model's config"),
    "no config": (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
    "a folder above": (below, r"holds one in a folder below: name .*abc"),
    "pointer": (pointer, r"model\.safetensors is a Git LFS pointer.*git lfs pull"),
    "cut": (cut, r"model\.safetensors is damaged or cut short.*again"),
    "adapter": (adapter_alone, r"holds a LoRA adapter.*merge it into its model first"),
    "adapted": (tensors(adapted), r"weights of a LoRA adapter \(vit.*merge it"),
    "8 bits": (tensors(eight_bits), r"holds quantised weights \(.*query\.weight in I8\).*original model"),
    "quantised": (
        config(quantization_config={"quant_method": "bitsandbytes"}),
        "holds quantised weights .quantization_config: bitsandbytes.",
    ),
    "no kind": (config(model_type=None), "config.json without a model_type"),
    "not json": (lambda folder: (folder / "config.json").write_text("{"), "not a JSON object"),
    "llava": (config(model_type="llava"), "a model of the kind llava: it writes texts about pictures"),
    "qwen": (
        config(model_type="qwen2_5_vl"),
        "a model of the kind qwen2_5_vl: it writes texts about pictures",
    ),
    "bert": (config(model_type="bert"), "a model of the kind bert: it reads texts alone"),
    "clip texts": (config(model_type="clip_text_model"), "the texts' side of a dual model alone"),
    "detr": (config(model_type="detr"), "a model of the kind detr: it finds or outlines objects"),
    "unknown kind": (config(model_type="hyperformer"), r"does not load as an encoder: .*kind 'hyperformer'"),
    "other shapes": (tensors(wider), "shape"),
    "layers missing": (config(num_hidden_layers=5), "lacks|has no weights called"),
    "no preprocessor": (
        lambda folder: (folder / "preprocessor_config.json").unlink(),
        r"says nothing usable on preprocessing: put the preprocessor_config\.json",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_is_refused_by_a_sentence_that_says_what_lies_there(what, tiny, tmp_path, photos):
    change, sentence = REFUSED[what]
    folder = shutil.copytree(tiny("vit_classifier"), tmp_path / "model")
    change(folder)
    with pytest.raises(ModelUnavailable, match=sentence) as refused:
        rows(folder, photos[:1])
    assert refused.value.code == "model_unavailable"
    assert str(tmp_path) in refused.value.message and len(refused.value.message) < 200 + 300
    assert "\n" not in refused.value.message


def test_a_named_folder_is_judged_and_never_sought_on_a_hub(tmp_path, monkeypatch):
    """Not even where its path looks like a hub's name and asking is allowed."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "org" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "vit"}')
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match=r"^org/model has its weights in pytorch_model\.bin alone"):
        EncoderLoader(offline=False).find(EncoderReference("tiny", "org/model"))
    (tmp_path / "weights.gguf").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match="is a file: name the folder"):
        EncoderLoader(offline=False).find(EncoderReference("tiny", "./weights.gguf"))
    with pytest.raises(ModelUnavailable, match="There is no folder"):
        EncoderLoader(offline=True).find(EncoderReference("tiny", str(tmp_path / "nowhere")))


def test_foreign_errors_are_cut(tmp_path):
    from vitrine.services.encoders.folders.foreign import refusal

    sentence = refusal(tmp_path, ValueError("much\n too " * 200), "does not load")
    assert len(sentence) < len(str(tmp_path)) + 230 and sentence.endswith("...") and "\n" not in sentence


def test_what_is_found_before_looking_inside(tiny, tmp_path):
    """Whether a folder holds a model is told by names alone, so that a damaged one is not passed over in
    favour of another."""
    folder = shutil.copytree(tiny("vit_classifier"), tmp_path / "model")
    pointer(folder)
    found = find_layout(folder)
    assert found is not None and found.weights == (folder / "model.safetensors",)
    assert find_layout(tmp_path) is None
