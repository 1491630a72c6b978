"""Say what lies in a folder that has no model to be read, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_OTHER_RUNTIMES = (
    ("*.onnx", "an ONNX model"),
    ("*.gguf", "GGUF weights, which are quantised for llama.cpp"),
    ("*.h5", "TensorFlow weights"),
    ("*.msgpack", "Flax weights"),
    ("*.tflite", "a TensorFlow Lite model"),
    ("saved_model.pb", "a TensorFlow model"),
    ("openvino_model.xml", "an OpenVINO model"),
    ("*.mlmodel", "a Core ML model"),
    ("*.npz", "weights in NumPy's format"),
)
_POINTER = b"version https://git-lfs"
_CONFIGS = ("config.json", "open_clip_config.json")


def why_no_model(folder: Path) -> str:
    """Return a sentence on a folder, or a file that was named instead of one, that holds no model."""
    if folder.is_file():
        return (
            f"{folder} is a file: name the folder that holds config.json, *.safetensors, the preprocessor "
            "and the tokenizer files."
        )
    if not any(folder.iterdir()):
        return (
            f"{folder} is empty: put the model's config.json, model.safetensors and "
            "preprocessor_config.json there, and its tokenizer files if it reads texts."
        )
    if adapter := adapter_of(folder):
        return unmerged(folder, f"a LoRA adapter ({adapter})")
    if pointer := next((file for file in sorted(folder.glob("*")) if is_pointer(file)), None):
        return pointer_sentence(pointer)
    if any(folder.glob("*.safetensors")):
        return f"{folder} has no config.json: it does not say what model its weights are of."
    return _other_weights(folder) or _below(folder) or _no_weights(folder)


def adapter_of(folder: Path) -> str | None:
    """Return the name of a file that only an adapter has, None where there is none."""
    return next((name for name in _ADAPTERS if (folder / name).is_file()), None)


def unmerged(folder: Path, what: str) -> str:
    """Return the sentence on an adapter, whose weights would be ignored."""
    return (
        f"{folder} holds {what}, which would be ignored: merge it into its model first "
        "(merge_and_unload of PEFT), save the merged model and name that folder."
    )


def is_pointer(file: Path) -> bool:
    """Return whether a file is what Git LFS puts in the place of a large one."""
    try:
        with file.open("rb") as stream:
            return stream.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def pointer_sentence(file: Path) -> str:
    """Return the sentence on a Git LFS pointer."""
    return (
        f"{file} is a Git LFS pointer, a line of text in the place of the weights: run `git lfs pull` in "
        "the repository that it was cloned from, or download the file itself."
    )


def _other_weights(folder: Path) -> str | None:
    """Return the sentence on weights of a format that is not read."""
    pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    if pickles:
        return (
            f"{folder} has its weights in {pickles[0]} alone. Such files can run code when they are "
            "read, so they never are: convert them to model.safetensors (where you trust the file, load the "
            "model with transformers and call save_pretrained)."
        )
    for pattern, what in _OTHER_RUNTIMES:
        if found := next(_within(folder, pattern, 1), None):
            return (
                f"{folder} holds {what} ({found.name}) alone, which is not read: take the model.safetensors "
                "of the original model, or save it as such with transformers."
            )
    return None


def _below(folder: Path) -> str | None:
    """Return the sentence on a folder whose models lie below it, as in a cache or a folder of models."""
    models = sorted(
        {
            file.parent
            for name in _CONFIGS
            for file in _within(folder, name, 3)
            if any(file.parent.glob("*.safetensors")) and file.parent != folder
        }
    )
    if not models:
        return None
    more = f", one of {len(models)}" if len(models) > 1 else ""
    return f"{folder} is not a model itself, but holds one in a folder below: name {models[0]}{more}."


def _within(folder: Path, pattern: str, depth: int) -> Iterator[Path]:
    """Yield the files that match, in the folder and at most ``depth`` below: somebody may name his home."""
    for level in range(depth + 1):
        yield from sorted(folder.glob("*/" * level + pattern))


def _no_weights(folder: Path) -> str:
    if any((folder / name).is_file() for name in _CONFIGS):
        return f"{folder} has no weights: put its model.safetensors there."
    return (
        f"{folder} has no weights and no config.json: put the model's config.json, model.safetensors and "
        "preprocessor_config.json there."
    )
