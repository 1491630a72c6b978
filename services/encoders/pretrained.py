"""Loading with transformers: the only place in the product that calls its loaders.

A model folder is data. Its weights are read from safetensors files alone (reading a pickle can run code), code that a folder
brings is never run, nobody is asked whether it may, and nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.errors import ModelUnavailable

_MAPS = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


def check_folder(folder: Path) -> None:
    """``ModelUnavailable`` for a folder whose weights cannot be read, or are only a part of what its embeddings need."""
    if any((folder / name).is_file() for name in _ADAPTERS):
        raise ModelUnavailable(
            f"{folder} holds a LoRA adapter, which would be ignored: merge it into its model first (PEFT's merge_and_unload), "
            "save the merged model and name that folder."
        )
    if not any(folder.rglob("*.safetensors")):
        raise ModelUnavailable(missing_weights(folder))


def missing_weights(folder: Path) -> str:
    """A sentence on a folder that has no safetensors weights."""
    pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    if pickles:
        return (
            f"{folder} has its weights in {pickles[0]} alone. Such files can run code when they are read, so they never are: "
            "convert them to model.safetensors."
        )
    return f"{folder} has no weights: put its model.safetensors there."


def load_config(folder: Path) -> Any:
    """The configuration of the model in a folder."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_model(folder: Path) -> tuple[Any, set[str]]:
    """The model in float32, and the names of the weights that its files lack (those are random)."""
    import torch
    from transformers import AutoModel

    model, report = AutoModel.from_pretrained(
        folder,
        config=load_config(folder),
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    return model, set(report["missing_keys"])


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of the model in a folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_image_processor(folder: Path) -> Any:
    """The image processor of the model in a folder. ``ModelUnavailable`` where it has none that can be used."""
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelUnavailable(
            refusal(folder, error, "says nothing usable on preprocessing (preprocessor_config.json)")
        ) from error


def refusal(folder: Path, error: Exception, what: str) -> str:
    """A sentence on a folder that a loader refused with ``error``; ``what`` is the folder's fault in general."""
    own = sorted({str(name) for name in _own_code(folder)})
    if own:
        return (
            f"{folder} brings code of its own ({', '.join(own[:3])}), and a model folder's code is never run here. Use a model "
            "whose kind transformers itself knows."
        )
    return f"{folder} {what}: {(str(error).strip().splitlines() or ['no reason given'])[0]}"


def _own_code(folder: Path) -> Iterator[object]:
    """The classes that the folder's files want to be run from its own or another repository's code."""
    for name in _MAPS:
        try:
            tree = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        wanted = tree.get("auto_map") if isinstance(tree, dict) else None
        for value in wanted.values() if isinstance(wanted, dict) else ():
            yield from (part for part in (value if isinstance(value, list) else [value]) if part)
