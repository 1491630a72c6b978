"""Look into a model folder's weights and config, and refuse what cannot become an encoder of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitrine.services.encoders.folders.model_types import reason_against
from vitrine.services.encoders.folders.no_model import adapter_of, is_pointer, pointer_sentence, unmerged
from vitrine.services.errors import ModelUnavailable

_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_ADAPTED = (".lora_", ".base_layer.")
_IGNORED_MODULES = ("Normalize", "CLIPModel", "Transformer")
"""Modules of sentence-transformers that are the model itself, or change no direction of a vector."""


def check_modules(folder: Path) -> None:
    """Raise ModelUnavailable for a folder of sentence-transformers with layers behind the model: they would
    be left out."""
    modules = sorted(path.name for path in folder.glob("[0-9]_*") if path.is_dir())
    if layers := [name for name in modules if not name.endswith(_IGNORED_MODULES)]:
        raise ModelUnavailable(
            f"{folder} has layers behind its model ({layers[0]}), which would be left out: its vectors would "
            "be others than those of sentence-transformers. Use a model without them."
        )


def check_weights(folder: Path, weights: Sequence[Path]) -> None:
    """Raise ModelUnavailable where a file is missing, a pointer, cut, quantised, or of an adapter. Only the
    files' headers are read."""
    if adapter := adapter_of(folder):
        raise ModelUnavailable(unmerged(folder, f"a LoRA adapter ({adapter})"))
    for file in weights:
        if not file.is_file():
            raise ModelUnavailable(
                f"{folder} lacks {file.name}, one of the {len(weights)} parts of its weights: put it there."
            )
        if is_pointer(file):
            raise ModelUnavailable(pointer_sentence(file))
        _check_tensors(folder, file)


def check_config(folder: Path, config: Mapping[str, Any], *, open_clip: bool) -> None:
    """Raise ModelUnavailable for a config that does not describe a model with vectors of whole pictures."""
    if not config:
        raise ModelUnavailable(
            f"{folder} has a config that is not a JSON object: take the file of the original model."
        )
    quantised = config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method", "?") if isinstance(quantised, Mapping) else quantised
        raise ModelUnavailable(_quantised(folder, f"quantization_config: {method}"))
    if open_clip or "architecture" in config:
        return
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ModelUnavailable(
            f"{folder} has a config.json without a model_type: it does not say what model its weights are "
            "of. Take the config.json of the original model."
        )
    if reason := reason_against(kind):
        raise ModelUnavailable(f"{folder} holds a model of the kind {kind}: {reason}")


def _check_tensors(folder: Path, file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as tensors:
            names = list(tensors.keys())
            for name in names:
                if any(part in f".{name}" for part in _ADAPTED):
                    raise ModelUnavailable(unmerged(folder, f"the weights of a LoRA adapter ({name}, ...)"))
                tensor = tensors.get_slice(name)
                # flags and numbers of places are integers; what is multiplied is a matrix at least
                if tensor.get_dtype() not in _FLOATS and len(tensor.get_shape()) > 1:
                    _check_integers(folder, name, tensor)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{file} is damaged or cut short ({str(error)[:120]}): download or copy it again."
        ) from error
    if not names:
        raise ModelUnavailable(f"{file} holds no weights at all: download or copy it again.")


def _check_integers(folder: Path, name: str, tensor: Any) -> None:
    """Raise ModelUnavailable for a quantised matrix; tables of places and masks are integers by nature."""
    kind = tensor.get_dtype()
    if name.endswith("weight") or kind.startswith("F"):
        raise ModelUnavailable(_quantised(folder, f"{name} in {kind}"))


def _quantised(folder: Path, how: str) -> str:
    return (
        f"{folder} holds quantised weights ({how}), which are not read: take the original model in float32, "
        "float16 or bfloat16. Vitrine rounds by itself where the processor is faster so."
    )
