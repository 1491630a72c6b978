"""Train the small demo encoder on drawn pictures: `python -m benchmarks.demo_weights.train --help`."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

from benchmarks.demo_weights.card import model_card
from benchmarks.demo_weights.evaluation import Figures, evaluate, hit_rate, own_ranks
from benchmarks.demo_weights.loop import MEAN, STD, Progress, Recipe, normalised, train
from benchmarks.demo_weights.pictures import INPUT_SIZE, TrainingPictures, decode_facts, training_pictures
from benchmarks.demo_weights.tokenizer import demo_tokenizer
from vitrine.data.captions import full_caption
from vitrine.data.facts import FACT_NAMES
from vitrine.data.shapes import KINDS

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "data" / "demo-clip"
HELD_OUT_SEED = 90_001
VALIDATION_SEED = 50_001
"""Watched while training; the held-out seed is looked at only at the end."""


def main(arguments: list[str] | None = None) -> int:
    """Train, write and evaluate a folder, or evaluate one that is there."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    if not options.evaluate_only:
        recipe = Recipe(**{f.name: getattr(options, f.name) for f in fields(Recipe)})
        figures = make_encoder(recipe, options.output, options.cache, options.workers)
    else:
        figures = evaluate(options.output, options.held_out_seed, options.held_out_count)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value:.3f}" if isinstance(value, float) else f"{name:28} {value}")
    return 0


def make_encoder(recipe: Recipe, output: Path, cache: Path, workers: int) -> Figures:
    """Train by `recipe`, then replace `output` as a whole; the figures stand in its model card."""
    pictures = training_pictures(recipe.pictures, recipe.picture_seed, cache, workers=workers)
    watched = training_pictures(500, VALIDATION_SEED, cache, workers=1)
    tokenizer = demo_tokenizer()
    last: list[Progress] = []

    def on_step(model: CLIPModel, progress: Progress) -> None:
        last[:] = [progress]
        if progress.step % 50 == 0 or progress.step == recipe.steps:
            note = ""
            if progress.step % 250 == 0 or progress.step == recipe.steps:
                hit_1, hit_10, kind = validate(model, tokenizer, watched)
                note = f"  validation hit@1 {hit_1:.3f} hit@10 {hit_10:.3f} kind {kind:.3f}"
            rate = progress.step * recipe.batch / progress.seconds
            print(
                f"step {progress.step} loss {progress.loss:.3f} {progress.seconds:.0f} s {rate:.0f} "
                f"pictures/s{note}",
                file=sys.stderr,
                flush=True,
            )

    model = train(recipe, pictures, tokenizer, on_step)
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        save_encoder(model, tokenizer, fresh)
        figures = evaluate(fresh, HELD_OUT_SEED, 500)
        parameters = sum(p.numel() for p in model.parameters())
        card = model_card(recipe, figures, parameters=parameters, steps=last[0].step, seconds=last[0].seconds)
        (fresh / "README.md").write_text(card, encoding="utf-8")
        record = {
            "recipe": asdict(recipe) | {"start": Path(recipe.start).name},
            "trained": asdict(last[0]),
            "held_out": figures,
        }
        (fresh / "figures.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        fresh.chmod(0o755)
        for file in fresh.iterdir():
            file.chmod(0o644)
        _replace_folder(fresh, output)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return figures


def validate(
    model: CLIPModel, tokenizer: PreTrainedTokenizerFast, pictures: TrainingPictures
) -> tuple[float, float, float]:
    """On pictures held in memory: text-to-image hit@1 and hit@10, and the share whose kind's name is the
    nearest of all."""
    rng = np.random.default_rng(0)
    captions = [full_caption(decode_facts(row), rng) for row in pictures.facts]
    tokens = tokenizer([*captions, *KINDS], padding=True, truncation=True, return_tensors="pt")
    model.eval()
    with torch.inference_mode():
        texts = model.get_text_features(**tokens).pooler_output
        images = model.get_image_features(pixel_values=normalised(pictures.pixels)).pooler_output
    model.train()
    scores = (
        torch.nn.functional.normalize(texts, dim=-1) @ torch.nn.functional.normalize(images, dim=-1).T
    ).numpy()
    ranks = own_ranks(scores[: len(pictures)])
    kinds = scores[len(pictures) :].argmax(axis=0) == pictures.facts[:, FACT_NAMES.index("kind")]
    return hit_rate(ranks, 1), hit_rate(ranks, 10), float(kinds.mean())


def save_encoder(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a complete transformers folder.

    The weights are stored as float16, half the size; the configuration says float32, so that they are widened
    on loading and computed with on a CPU.
    """
    model.config.dtype = "float32"
    model.config.architectures = ["CLIPModel"]
    model.config.save_pretrained(folder)
    tensors = {name: value.detach().half().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": INPUT_SIZE},
        crop_size={"height": INPUT_SIZE, "width": INPUT_SIZE},
        resample=3,
        image_mean=list(MEAN),
        image_std=list(STD),
    ).save_pretrained(folder)


def _replace_folder(fresh: Path, target: Path) -> None:
    """Put `fresh` in `target`'s place; the old folder goes only when the new one is there."""
    old = target.with_name(f".{target.name}-old-{os.getpid()}")
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo_weights.train",
        description="Train the demo encoder on drawn pictures and write it as a transformers folder.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=DEFAULT_FOLDER, help="folder to write or evaluate")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "vitrine-demo-clip",
        help="folder that keeps the drawn training pictures",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads that train")
    parser.add_argument("--evaluate-only", action="store_true", help="train nothing, evaluate --output")
    parser.add_argument("--held-out-seed", type=int, default=HELD_OUT_SEED, help="seed for --evaluate-only")
    parser.add_argument("--held-out-count", type=int, default=500, help="pictures for --evaluate-only")
    parser.add_argument("--json", action="store_true", help="print the figures as one line of JSON")
    for field in fields(Recipe):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(
            flag, type=type(field.default), default=field.default, help=f"recipe: {field.name}"
        )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
