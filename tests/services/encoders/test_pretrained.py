"""A model folder is data: none of its code is run, nobody is asked, and pickles are not read."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.preprocess import read_preprocessing
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.errors import ModelUnavailable

ROOT = Path(__file__).parents[3]
SOURCES = ("api", "benchmarks", "cli", "data", "indexer", "services", "training")
FILES = ("config.json", "preprocessor_config.json", "tokenizer_config.json")
TinyModel = Callable[[str], Path]


def boobytrapped(folder: Path, files: tuple[str, ...], *, known: bool) -> Path:
    """Every kind of code of its own that a folder can bring; run, any of it leaves the file ``ran``."""
    code = f"open({str(folder / 'ran')!r}, 'w').close()\nclass Own: pass\n"
    (folder / "own.py").write_text(code)
    kinds = ("AutoConfig", "AutoModel", "AutoImageProcessor", "AutoProcessor", "AutoFeatureExtractor")
    for name in files:
        tree = json.loads((folder / name).read_text())
        tree["auto_map"] = {kind: "own.Own" for kind in kinds} | {"AutoTokenizer": [None, "own.Own"]}
        if not known:
            tree |= {
                "model_type": "own",
                "image_processor_type": "Own",
                "tokenizer_class": "Own",
                "architectures": ["Own"],
            }
        (folder / name).write_text(json.dumps(tree))
    return folder


@pytest.mark.parametrize("known", [True, False], ids=["known kind", "unknown kind"])
@pytest.mark.parametrize("files", [*((name,) for name in FILES), FILES], ids=[*FILES, "all"])
def test_a_folder_with_code_of_its_own_loads_without_it_or_is_refused(
    files: tuple[str, ...], known: bool, tiny_model: TinyModel, tmp_path: Path
) -> None:
    folder = boobytrapped(shutil.copytree(tiny_model("clip"), tmp_path / "trap"), files, known=known)
    reference = EncoderReference("trap", str(folder))
    if known or files == ("tokenizer_config.json",):  # a tokenizer is told from its tokenizer.json
        assert EncoderLoader(offline=True).load(reference).spec.dim == 24
    else:
        with pytest.raises(ModelUnavailable, match=r"brings code of its own \(own\.Own\)"):
            EncoderLoader(offline=True).load(reference)
    if known:
        assert read_preprocessing(folder).crop == (32, 32)
    assert not (folder / "ran").exists()


def test_nobody_is_asked_on_the_terminal(tiny_model: TinyModel, tmp_path: Path) -> None:
    """As a person meets it: the command with a terminal's answers waiting, yes to all."""
    folder = boobytrapped(
        shutil.copytree(tiny_model("vit"), tmp_path / "trap"), ("preprocessor_config.json",), known=False
    )
    command = [
        sys.executable,
        "-c",
        "from vitrine.cli.main import main; main()",
        "encoder",
        "check",
        str(folder),
    ]
    environment = os.environ | {"VITRINE_OFFLINE": "true", "VITRINE_DATA": str(tmp_path / "data")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        input="y\n" * 9,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "brings code of its own" in done.stderr and "[y/N]" not in done.stdout + done.stderr
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_are_refused_by_a_sentence(name: str, tiny_model: TinyModel, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("vit"), tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1)}, folder / name)
    with pytest.raises(
        ModelUnavailable, match=f"has its weights in {name} alone.*convert them to model.safetensors"
    ):
        EncoderLoader(offline=True).load(EncoderReference("pickled", str(folder)))


def test_a_folder_without_weights_or_config_says_which(tiny_model: TinyModel, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("vit"), tmp_path / "half")
    (folder / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"has no config\.json"):
        EncoderLoader(offline=True).load(EncoderReference("half", str(folder)))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="has no weights"):
        EncoderLoader(offline=True).load(EncoderReference("half", str(folder)))


def test_an_adapter_is_refused_until_it_is_merged(tiny_model: TinyModel, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("clip"), tmp_path / "adapted")
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/model"})
    )
    with pytest.raises(ModelUnavailable, match=r"LoRA adapter.*merge it"):
        EncoderLoader(offline=True).load(EncoderReference("adapted", str(folder)))
    alone = tmp_path / "alone"  # as PEFT saves it
    alone.mkdir()
    shutil.copy(folder / "adapter_config.json", alone)
    shutil.copy(folder / "model.safetensors", alone / "adapter_model.safetensors")
    with pytest.raises(ModelUnavailable, match=r"LoRA adapter.*merge it"):
        EncoderLoader(offline=True).load(EncoderReference("alone", str(alone)))


def loaders() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a ``from_pretrained`` in the sources, and where it stands."""
    for file in sorted(file for source in SOURCES for file in (ROOT / source).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "from_pretrained"
            ):
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def test_every_loader_refuses_foreign_code() -> None:
    found = dict(loaders())
    assert len(found) >= 6
    for place, call in found.items():
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        trust = given.get("trust_remote_code")
        assert isinstance(trust, ast.Constant) and trust.value is False, (
            f"{place} does not say trust_remote_code=False"
        )
        if "dtype" in given or ast.unparse(call.func).endswith("Model.from_pretrained"):
            safe = given.get("use_safetensors")
            assert isinstance(safe, ast.Constant) and safe.value is True, (
                f"{place} does not say use_safetensors=True"
            )
