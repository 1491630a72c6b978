"""Loading with transformers: the only place in the product that calls its loaders.

A model folder is data. Its weights are read from safetensors files alone (reading a pickle can run code),
code that a folder brings is never run, nobody is asked whether it may, and nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vitrine.services.errors import ModelUnavailable

OPEN_CLIP_CONFIG = "open_clip_config.json"

_MAPS = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors")
_PROJECTED = "VisionModelWithProjection"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


def read_json(file: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file, empty where there is none that can be read."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


def is_timm(config: Mapping[str, Any]) -> bool:
    """Return whether a config.json is one of timm."""
    return "architecture" in config and ("pretrained_cfg" in config or "input_size" in config)


def check_folder(folder: Path) -> None:
    """Raise ``ModelUnavailable`` for a folder whose weights cannot be read, or are only a part of what its
    embeddings need."""
    if any((folder / name).is_file() for name in _ADAPTERS):
        raise ModelUnavailable(_unmerged(folder, "a LoRA adapter"))
    if not any(folder.rglob("*.safetensors")):
        raise ModelUnavailable(missing_weights(folder))


def _unmerged(folder: Path, what: str) -> str:
    return (
        f"{folder} holds {what}, which would be ignored: merge it into its model first "
        "(merge_and_unload of PEFT), save the merged model and name that folder."
    )


def missing_weights(folder: Path) -> str:
    """Return a sentence on a folder that has no safetensors weights."""
    pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    if pickles:
        return (
            f"{folder} has its weights in {pickles[0]} alone. Such files can run code when they are "
            "read, so they never are: convert them to model.safetensors."
        )
    return f"{folder} has no weights: put its model.safetensors there."


def load_model(folder: Path) -> tuple[Any, set[str]]:
    """Return the model in float32, and the names of the weights that its files lack (those are random)."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.model_type == "vit_mae":
        config.mask_ratio = 0.0  # in its training three quarters of each picture are hidden, others each time
    loader = transformers.AutoModel
    named = str((getattr(config, "architectures", None) or [""])[0])
    if named.endswith(_PROJECTED):  # AutoModel leaves the projection out
        loader = getattr(transformers, named, loader)
    model, report = _load(loader, folder, config)
    if any(name.startswith("visual_projection.") for name in report["unexpected_keys"]):
        loader = getattr(transformers, f"{type(model).__name__}WithProjection", None)
        if loader is None:
            raise ModelUnavailable(
                f"{folder} has a projection that its kind of model does not use: its vectors would be others."
            )
        model, report = _load(loader, folder, config)
    refuse_adapted(folder, report["unexpected_keys"])
    return model, set(report["missing_keys"])


def refuse_adapted(folder: Path, names: Iterable[str]) -> None:
    """Raise ``ModelUnavailable`` where weights of these names are those of an adapter that is not merged."""
    if adapted := [name for name in names if ".lora_" in name or ".base_layer." in name]:
        raise ModelUnavailable(_unmerged(folder, f"the weights of a LoRA adapter ({adapted[0]}, ...)"))


def _load(loader: Any, folder: Path, config: Any) -> tuple[Any, dict[str, Any]]:
    """Return the model, and which weights were missing or not expected."""
    import torch

    model, report = loader.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        attn_implementation=_attention(config),
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    return model, report


def _attention(config: Any) -> str | None:
    """Return the attention to ask for; None: the model's default."""
    # AIMv2's texts are read from left to right; by the default attention that is forgotten where no text of a
    # batch is padded
    left_to_right = config.model_type == "aimv2"
    # a folder may name a repository whose code is to be fetched and run
    foreign = "/" in str(getattr(config, "_attn_implementation", None))
    return "eager" if left_to_right or foreign else None


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of the model in a folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def refusal(folder: Path, error: Exception, what: str) -> str:
    """Return a sentence on a folder that a loader refused with ``error``; ``what`` is the folder's fault in
    general."""
    words = (str(error).strip().splitlines() or ["no reason given"])[0]
    return _foreign_code(folder) or f"{folder} {what}: {words}"


def refuse_own_code(folder: Path) -> None:
    """Raise ``ModelUnavailable`` for a folder whose files want code to be run that it brings or names."""
    if sentence := _foreign_code(folder):
        raise ModelUnavailable(sentence)


def _foreign_code(folder: Path) -> str | None:
    own = sorted({str(name) for name in _own_code(folder)})
    if not own:
        return None
    return (
        f"{folder} brings code of its own ({', '.join(own[:3])}), and a model folder's code is "
        "never run here. Use a model whose kind transformers itself knows."
    )


def _own_code(folder: Path) -> Iterator[object]:
    """Return the classes that the folder's files want to be run from its own or another repository's code."""
    for name in _MAPS:
        wanted = read_json(folder / name).get("auto_map")
        for value in wanted.values() if isinstance(wanted, dict) else ():
            yield from (part for part in (value if isinstance(value, list) else [value]) if part)
