"""How well an encoder folder finds drawn pictures it has never seen."""

from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from benchmarks.demo_weights.pictures import DRAWN_SIZE, as_served
from vitrine.data.pictures import draw_pictures

Matrix = NDArray[np.float32]


class Figures(TypedDict):
    """Shares in 0..1 over `count` pictures of one seed.

    hit@k counts a picture's own caption (or a caption's own picture) among the first k, strictly: another
    picture with the very same caption counts as a miss. R-precision: of the R pictures a short query
    describes, the share among the first R found.
    """

    seed: int
    count: int
    distinct_captions: int
    text_to_image_hit_1: float
    text_to_image_hit_5: float
    text_to_image_hit_10: float
    image_to_text_hit_1: float
    image_to_text_hit_5: float
    image_to_text_hit_10: float
    kind_r_precision: float
    """Queries such as "mug"."""
    colour_kind_r_precision: float
    """Queries such as "red mug"."""
    pattern_kind_r_precision: float
    """Queries such as "striped mug"."""


def evaluate(model_folder: Path | str, seed: int, count: int) -> Figures:
    """The figures of the encoder in `model_folder` on the first `count` pictures of `seed`.

    Pictures are drawn at 192 px, pass through JPEG and the folder's own image processor, as in serving.
    """
    folder = str(model_folder)
    model = CLIPModel.from_pretrained(folder, use_safetensors=True, trust_remote_code=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    processor = CLIPImageProcessor.from_pretrained(folder, trust_remote_code=False)
    pictures = [(as_served(p.image), p.caption, p.facts) for p in draw_pictures(count, seed, DRAWN_SIZE)]

    def embed_texts(texts: list[str]) -> Matrix:
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            return _unit(model.get_text_features(**tokens).pooler_output)

    with torch.inference_mode():
        pixels = processor([image for image, _, _ in pictures], return_tensors="pt")["pixel_values"]
        images = _unit(
            torch.cat([model.get_image_features(pixel_values=p).pooler_output for p in pixels.split(256)])
        )
    captions = [caption for _, caption, _ in pictures]
    facts = [f for _, _, f in pictures]
    scores = embed_texts(captions) @ images.T

    def short(*names: str) -> float:
        """R-precision of queries that name just these facts."""
        keys = [tuple(getattr(f, name) for name in names) for f in facts]
        asked = sorted(set(keys))
        relevant = np.array([[key == other for other in keys] for key in asked])
        return r_precision(embed_texts([" ".join(key) for key in asked]) @ images.T, relevant)

    forwards, backwards = own_ranks(scores), own_ranks(scores.T)
    return Figures(
        seed=seed,
        count=count,
        distinct_captions=len(set(captions)),
        text_to_image_hit_1=hit_rate(forwards, 1),
        text_to_image_hit_5=hit_rate(forwards, 5),
        text_to_image_hit_10=hit_rate(forwards, 10),
        image_to_text_hit_1=hit_rate(backwards, 1),
        image_to_text_hit_5=hit_rate(backwards, 5),
        image_to_text_hit_10=hit_rate(backwards, 10),
        kind_r_precision=short("kind"),
        colour_kind_r_precision=short("main", "kind"),
        pattern_kind_r_precision=short("pattern", "kind"),
    )


def own_ranks(scores: Matrix) -> NDArray[np.int64]:
    """(n, n) scores of n queries: how many others score as high as or higher than the query's own, at [i, i].

    >>> own_ranks(np.array([[0.9, 0.1], [0.8, 0.7]], dtype=np.float32)).tolist()
    [0, 1]
    """
    ranks: NDArray[np.int64] = (scores >= np.diag(scores)[:, None]).sum(axis=1) - 1
    return ranks


def hit_rate(ranks: NDArray[np.int64], k: int) -> float:
    """Share of ranks below `k`.

    >>> hit_rate(np.array([0, 1, 5, 20]), 5)
    0.5
    """
    return float((ranks < k).mean())


def r_precision(scores: Matrix, relevant: NDArray[np.bool_]) -> float:
    """Mean over queries of the share of relevant pictures among the first R, R being their number.

    >>> r_precision(np.array([[0.9, 0.8, 0.1]], dtype=np.float32), np.array([[True, False, True]]))
    0.5
    """
    found = []
    for row, wanted in zip(scores, relevant, strict=True):
        first = np.argsort(-row, kind="stable")[: int(wanted.sum())]
        found.append(wanted[first].mean())
    return float(np.mean(found))


def _unit(vectors: torch.Tensor) -> Matrix:
    unit: Matrix = torch.nn.functional.normalize(vectors.float(), dim=-1).numpy()
    return unit
