"""Loading with transformers: the only place in the product that calls its loaders.

A model folder is data. Its weights are read from safetensors files alone (reading a pickle can run code),
code that a folder brings is never run, nobody is asked whether it may, and nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vitrine.services.encoders.folders.no_model import unmerged
from vitrine.services.errors import ModelUnavailable

_PROJECTED = "VisionModelWithProjection"
_CLASSIFIER = "ForImageClassification"


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
    if named.endswith(_CLASSIFIER) and hasattr(config, "text_config"):  # it has no texts' side
        loader = getattr(transformers, named.replace(_CLASSIFIER, "VisionModel"), loader)
        config = config.vision_config
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
        raise ModelUnavailable(unmerged(folder, f"the weights of a LoRA adapter ({adapted[0]}, ...)"))


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
