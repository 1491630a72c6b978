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

from benchmarks.demo_weights.captions import free_caption, prompt
from benchmarks.demo_weights.pictures import INPUT_SIZE, TrainingPictures, decode_facts
from benchmarks.demo_weights.tokenizer import END_ID, MAX_TOKENS, PAD_ID, START_ID, UNKNOWN_ID
from vitrine.data.captions import full_caption
from vitrine.data.facts import FACT_NAMES, FACT_VALUES

MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
STD: Final = (0.26862954, 0.26130258, 0.27577711)
_KIND_WEIGHT = 5.0
"""Weight of the choice among kinds, that among the values of any other fact being 1."""
_SHIFT = 2
"""Pictures are shifted by up to this many pixels while training."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run does."""

    pictures: int = 20_000
    picture_seed: int = 1001
    seed: int = 0
    steps: int = 6_000
    minutes: float = 33.0
    """Training ends after this long even where steps are left; the learning rate has then fallen all the
    same."""
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: float = 0.05
    """Share of the steps over which the learning rate rises."""
    full_captions: float = 0.3
    """Share of captions that state everything; the others are free."""
    prompt_weight: float = 1.0
    """Weight of the loss on texts of a single fact, the captions' loss being 1."""
    start: str = ""
    """Folder of an encoder of the same architecture to go on from; empty: from scratch."""
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
    if recipe.start:
        model = CLIPModel.from_pretrained(
            recipe.start, attn_implementation="eager", use_safetensors=True, trust_remote_code=False
        )
    else:
        model = CLIPModel(demo_config(recipe, len(tokenizer)))
        _initialise(model, recipe)
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
        seconds = time.monotonic() - started
        done = max(step / recipe.steps, seconds / (recipe.minutes * 60))
        if done > 1:
            break
        rate = learning_rate(recipe, done)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            out = model(input_ids=batch.tokens, attention_mask=batch.mask, pixel_values=batch.pixels)
        texts, images = out.text_embeds.float(), out.image_embeds.float()
        captions = len(images)
        loss = info_nce(texts[:captions], images, model.logit_scale, batch.same)
        if recipe.prompt_weight:
            loss = loss + recipe.prompt_weight * prompt_loss(
                texts[captions:], images, model.logit_scale, batch.facts
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0.0, math.log(100.0))
        on_step(model, Progress(step, float(loss.detach()), rate, time.monotonic() - started))
    return model


def learning_rate(recipe: Recipe, done: float) -> float:
    """After the share `done` (0..1) of a run: a linear warm-up, then half a cosine down to a hundredth of the
    peak."""
    if done <= recipe.warm_up:
        return recipe.learning_rate * done / recipe.warm_up
    falling = (done - recipe.warm_up) / (1 - recipe.warm_up)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * falling)))


def info_nce(texts: Tensor, images: Tensor, log_scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric InfoNCE over (n, d) unit vectors of n pairs, with the other pictures a caption describes.

    `same` (n, n) is true where caption i describes picture j, the diagonal included. Such a pair is no
    negative: "mug" would be pushed away from every other mug. A caption's loss is the mean over all its
    pictures, each against the pictures it does not describe; a picture's loss is that of its own caption
    against the captions that do not describe it. Without short captions this is the usual loss.
    """
    logits = texts @ images.T * log_scale.exp()
    of_images = functional.softplus(_negatives(logits.T, same.T) - logits.diagonal()[:, None])
    return (_loss_of_texts(logits, same) + of_images.mean()) / 2


def prompt_loss(prompts: Tensor, images: Tensor, log_scale: Tensor, facts: Tensor) -> Tensor:
    """The same for texts that state a single fact: one of each value of each fact, in the order of
    `FACT_VALUES`.

    A picture chooses among the values of every fact; a prompt chooses among all pictures. Long captions can
    be told apart by colours alone, so without this loss the kinds, which are harder to see, are learnt last.
    `facts` (n, 8) holds the pictures' values.
    """
    logits = prompts @ images.T * log_scale.exp()
    of_images, first = logits.new_zeros(()), 0
    same = []
    for column, values in enumerate(FACT_VALUES.values()):
        own = facts[:, column]
        weight = _KIND_WEIGHT if column == FACT_NAMES.index("kind") else 1.0
        of_images = of_images + weight * functional.cross_entropy(logits[first : first + len(values)].T, own)
        same.append(own[None, :] == torch.arange(len(values))[:, None])
        first += len(values)
    return (_loss_of_texts(logits, torch.cat(same)) + of_images / (len(FACT_VALUES) - 1 + _KIND_WEIGHT)) / 2


def _loss_of_texts(logits: Tensor, same: Tensor) -> Tensor:
    """Mean over texts of the mean over the pictures each describes; a text that describes none counts for
    nothing."""
    losses = functional.softplus(_negatives(logits, same) - logits) * same
    described = same.sum(dim=1)
    return (losses.sum(dim=1) / described.clamp(min=1)).sum() / (described > 0).sum()


def _negatives(logits: Tensor, same: Tensor) -> Tensor:
    """(n, 1) log of the summed exponentials of each row's negatives; finite, so that a row without any has a
    gradient."""
    return logits.masked_fill(same, -1e4).logsumexp(dim=1, keepdim=True)


def _initialise(model: CLIPModel, recipe: Recipe) -> None:
    """Start with patches at full scale and positions as sines and cosines: kinds are learnt from fewer
    pictures."""
    embeddings = model.vision_model.embeddings
    side, quarter = INPUT_SIZE // recipe.patch, recipe.width // 4
    frequency = 1.0 / 10_000 ** (torch.arange(quarter) / (quarter - 1))
    y, x = (torch.arange(side).repeat_interleave(side), torch.arange(side).repeat(side))
    waves = [f(axis[:, None] * frequency) for axis in (x, y) for f in (torch.sin, torch.cos)]
    with torch.no_grad():
        embeddings.patch_embedding.weight.normal_(0.0, (3 * recipe.patch**2) ** -0.5)
        embeddings.position_embedding.weight[1:] = 0.3 * torch.cat(waves, dim=1)


@dataclass(frozen=True, eq=False)
class _Batch:
    pixels: Tensor
    """(n, 3, 64, 64)"""
    tokens: Tensor
    """(n + prompts, length)"""
    mask: Tensor
    same: Tensor
    """(n, n): caption i describes picture j."""
    facts: Tensor
    """(n, 8)"""


def _batches(
    recipe: Recipe, pictures: TrainingPictures, tokenizer: PreTrainedTokenizerFast
) -> Iterator[_Batch]:
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
    if recipe.prompt_weight:
        captions += [prompt(name, value, rng) for name, values in FACT_VALUES.items() for value in values]
    encoded = tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
    tokens = encoded["input_ids"]
    # A word in thirty is hidden, so that an unknown word in a query does little harm.
    hidden = (torch.from_numpy(rng.random(tuple(tokens.shape))) < 0.033) & (tokens > END_ID)
    return _Batch(
        pixels=normalised(augmented(pictures.pixels[rows], rng)),
        tokens=tokens.masked_fill(hidden, UNKNOWN_ID),
        mask=encoded["attention_mask"],
        same=torch.from_numpy(same),
        facts=torch.from_numpy(known.astype(np.int64)),
    )


def augmented(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(n, 64, 64, 3) pictures mirrored at random and shifted a little: nothing a caption speaks of
    changes."""
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
