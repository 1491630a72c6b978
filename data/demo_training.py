"""Contrastive training of the demo encoder."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from data.captions import FACT_NAMES, free_caption, full_caption
from data.demo_tokenizer import END_ID, MAX_TOKENS, PAD_ID, START_ID, UNKNOWN_ID
from data.training_pictures import INPUT_SIZE, TrainingPictures, decode_facts

MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
STD: Final = (0.26862954, 0.26130258, 0.27577711)
_SHIFT = 5
"""Pictures are shifted by up to this many pixels while training."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run does."""

    pictures: int = 40_000
    picture_seed: int = 1001
    seed: int = 0
    steps: int = 3_000
    batch: int = 512
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warm_up: float = 0.05
    """Share of the steps over which the learning rate rises."""
    full_captions: float = 0.3
    """Share of captions that state everything; the others are free."""
    patch: int = 16
    width: int = 192
    layers: int = 4
    text_width: int = 128
    text_layers: int = 2


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step."""

    step: int
    loss: float
    learning_rate: float
    seconds: float


def demo_config(recipe: Recipe, words: int) -> CLIPConfig:
    """The encoder's architecture: 64 px pictures, texts of at most 32 tokens, 128-dimensional embeddings."""
    return CLIPConfig(
        vision_config={
            "image_size": INPUT_SIZE,
            "patch_size": recipe.patch,
            "hidden_size": recipe.width,
            "intermediate_size": recipe.width * 2,
            "num_hidden_layers": recipe.layers,
            "num_attention_heads": recipe.width // 32,
            "hidden_act": "gelu",
        },
        text_config={
            "vocab_size": words,
            "max_position_embeddings": MAX_TOKENS,
            "hidden_size": recipe.text_width,
            "intermediate_size": recipe.text_width * 2,
            "num_hidden_layers": recipe.text_layers,
            "num_attention_heads": recipe.text_width // 32,
            "hidden_act": "gelu",
            "pad_token_id": PAD_ID,
            "bos_token_id": START_ID,
            "eos_token_id": END_ID,
        },
        projection_dim=128,
        # At 17 to 65 tokens the fused attention's backward pass is slower on a CPU than the plain one.
        attn_implementation="eager",
    )


def train(
    recipe: Recipe,
    pictures: TrainingPictures,
    tokenizer: PreTrainedTokenizerFast,
    on_step: Callable[[CLIPModel, Progress], None],
) -> CLIPModel:
    """A CLIPModel trained with symmetric InfoNCE; `on_step` is called after every step."""
    torch.manual_seed(recipe.seed)
    model = CLIPModel(demo_config(recipe, len(tokenizer)))
    model.train()
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
        fused=True,
    )
    started = time.monotonic()
    for step, batch in enumerate(_batches(recipe, pictures, tokenizer), start=1):
        rate = learning_rate(recipe, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            out = model(input_ids=batch.tokens, attention_mask=batch.mask, pixel_values=batch.pixels)
        loss = info_nce(out.text_embeds.float(), out.image_embeds.float(), model.logit_scale, batch.same)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0.0, math.log(100.0))
        on_step(model, Progress(step, float(loss.detach()), rate, time.monotonic() - started))
    return model


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth of the peak."""
    rising = max(round(recipe.steps * recipe.warm_up), 1)
    if step <= rising:
        return recipe.learning_rate * step / rising
    done = (step - rising) / max(recipe.steps - rising, 1)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def info_nce(texts: Tensor, images: Tensor, log_scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric InfoNCE over (n, d) unit vectors of n pairs, with the other pictures a caption describes.

    `same` (n, n) is true where caption i describes picture j, the diagonal included. Such a pair is no negative:
    "mug" would be pushed away from every other mug. A caption's loss is the mean over all its pictures, each
    against the pictures it does not describe; a picture's loss is that of its own caption against the captions that
    do not describe it. Without short captions this is the usual loss.
    """
    logits = texts @ images.T * log_scale.exp()
    others = logits.masked_fill(same, -1e4)  # Finite: a row without negatives has a gradient too.
    of_texts = functional.softplus(others.logsumexp(dim=1, keepdim=True) - logits)
    of_images = functional.softplus(others.logsumexp(dim=0) - logits.diagonal())
    positives = same.float()
    return ((of_texts * positives).sum(dim=1) / positives.sum(dim=1) + of_images).mean() / 2


@dataclass(frozen=True, eq=False)
class _Batch:
    pixels: Tensor
    tokens: Tensor
    mask: Tensor
    same: Tensor


def _batches(recipe: Recipe, pictures: TrainingPictures, tokenizer: PreTrainedTokenizerFast) -> Iterator[_Batch]:
    rng = np.random.default_rng([recipe.seed, 1])
    order: NDArray[np.intp] = np.empty(0, dtype=np.intp)
    for _ in range(recipe.steps):
        if len(order) < recipe.batch:
            order = rng.permutation(len(pictures))
        rows, order = order[: recipe.batch], order[recipe.batch :]
        yield _batch(recipe, pictures, rows, tokenizer, rng)


def _batch(
    recipe: Recipe,
    pictures: TrainingPictures,
    rows: NDArray[np.intp],
    tokenizer: PreTrainedTokenizerFast,
    rng: np.random.Generator,
) -> _Batch:
    captions, stated = [], np.ones((len(rows), len(FACT_NAMES)), dtype=bool)
    for i, row in enumerate(rows):
        facts = decode_facts(pictures.facts[row])
        if rng.random() < recipe.full_captions:
            captions.append(full_caption(facts, rng))
        else:
            caption, names = free_caption(facts, rng)
            captions.append(caption)
            stated[i] = [name in names for name in FACT_NAMES]
    known = pictures.facts[rows]
    differs = (known[:, None, :] != known[None, :, :]) & stated[:, None, :]
    same = ~differs.any(axis=2)
    encoded = tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
    tokens = encoded["input_ids"]
    # A word in thirty is hidden, so that an unknown word in a query does little harm.
    hidden = (torch.from_numpy(rng.random(tuple(tokens.shape))) < 0.033) & (tokens > END_ID)
    return _Batch(
        pixels=normalised(augmented(pictures.pixels[rows], rng)),
        tokens=tokens.masked_fill(hidden, UNKNOWN_ID),
        mask=encoded["attention_mask"],
        same=torch.from_numpy(same),
    )


def augmented(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(n, 64, 64, 3) pictures mirrored at random and shifted a little: nothing a caption speaks of changes."""
    n, side = len(pixels), pixels.shape[1]
    flip = rng.random(n) < 0.5
    pixels = np.where(flip[:, None, None, None], pixels[:, :, ::-1], pixels)
    padded = np.pad(pixels, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)), mode="edge")
    moved = np.empty_like(pixels)
    for i, (x, y) in enumerate(rng.integers(0, 2 * _SHIFT + 1, (n, 2))):
        moved[i] = padded[i, y : y + side, x : x + side]
    return moved


def normalised(pixels: NDArray[np.uint8]) -> Tensor:
    """(n, 64, 64, 3) uint8 pictures as the encoder takes them: (n, 3, 64, 64) float32."""
    values = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return values.sub_(mean * 255.0).div_(std * 255.0)
