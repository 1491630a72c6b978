"""What a folder wants from others: code of its own, which is never run, and errors of other libraries, which
are cut short and explained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vitrine.services.encoders.folders.json_file import read_json
from vitrine.services.errors import ModelUnavailable

LONGEST = 200
"""Characters that are shown of another library's message."""
_MAPS = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")


def refusal(folder: Path, error: Exception, what: str) -> str:
    """Return a sentence on a folder that a loader refused with ``error``; ``what`` is the folder's fault in
    general."""
    words = _words(error)
    advice = _advice(folder, words, error)
    return _foreign_code(folder) or f"{folder} {what}: {words}" + (f" ({advice})" if advice else "")


def refuse_own_code(folder: Path) -> None:
    """Raise ``ModelUnavailable`` for a folder whose files want code to be run that it brings or names."""
    if sentence := _foreign_code(folder):
        raise ModelUnavailable(sentence)


def _words(error: Exception) -> str:
    """Return the beginning of what an error says, on one line."""
    text = " ".join(str(error).split()) or f"no reason given ({type(error).__name__})"
    return text if len(text) <= LONGEST else text[: LONGEST - 4].rsplit(" ", 1)[0] + " ..."


def _advice(folder: Path, words: str, error: Exception) -> str | None:
    """Return what such an error means for who brought the folder."""
    if isinstance(error, ImportError):
        return "install the package that it names, or use a model that needs none"
    if "size mismatch" in str(error) or "shapes" in str(error) or "ignore_mismatched_sizes" in str(error):
        return "its weights have other shapes than its config.json says: both must be of the same model"
    if "model type" in words or "architecture" in words:
        kind = read_json(folder / "config.json").get("model_type")
        return f"the installed transformers does not know models of the kind {kind!r}"
    if "pixel_values" in words or "input_ids" in words:
        return "it does not read pictures alone: use an encoder of pictures, such as CLIP, SigLIP or DINOv2"
    return None


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
