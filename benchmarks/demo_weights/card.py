"""The model card of the demo encoder."""

from dataclasses import fields
from string import Template
from typing import Final

from benchmarks.demo_weights.evaluation import Figures
from benchmarks.demo_weights.loop import Recipe

_CARD: Final = Template("""\
---
library_name: transformers
pipeline_tag: zero-shot-image-classification
---

# demo-clip

A CLIP encoder small enough to live in this repository ($parameters parameters, float16 weights). It turns the drawn
pictures of the demo catalogue, and texts about them, into 128-dimensional embeddings, so that the demo and the tests
search by text without a download. It knows nothing but these drawings: for photographs, use a real CLIP encoder.

## How it was made

Trained on $pictures pictures that `vitrine.data.pictures` draws (seed $picture_seed), with captions worded afresh at every step:
full sentences, partial ones, and a word or two ("mug", "something blue", "shirt with stripes").
The loss is symmetric InfoNCE with a learned temperature; a picture of the batch that a caption also describes is no
negative of it. The same loss on texts of a single fact ("mugs", "something red", "tiled background"), one of each
value, makes short queries work. Pictures are mirrored and shifted, nothing else.

```
$command
```

$steps steps of $batch pairs took $minutes minutes on two CPU cores (bfloat16 autocast), drawing the training pictures
not included.$start

Vision: $layers layers of width $width, patches of $patch px at 64 px. Text: $text_layers layers of width $text_width,
a vocabulary of whole words, at most 32 tokens.

## Held-out figures

$count pictures of seed $seed, which training never saw, drawn at 192 px, saved as JPEG and read through this folder's
image processor. Each picture's full caption searches all $count pictures, and the other way round. A hit is the
picture itself, strictly: where two pictures share a caption ($distinct captions are distinct), the other one is a miss.

| | hit@1 | hit@5 | hit@10 |
| --- | --- | --- | --- |
| text to image | $t1 | $t5 | $t10 |
| image to text | $i1 | $i5 | $i10 |

Short queries, R-precision (of the R pictures that a query describes, the share among the first R found):

| query | R-precision |
| --- | --- |
| kind ("mug") | $kind |
| colour and kind ("red mug") | $colour |
| pattern and kind ("striped mug") | $pattern |

Measure again with `python -m benchmarks.demo_weights.train --evaluate-only`.

## Limits

- Drawings of 20 kinds of object, 12 colours, 5 patterns and 8 background colours; nothing else means anything to it.
- English, about 190 words, their synonyms and plurals included. Another word is read as an unknown one and ignored as
  far as may be; spelling mistakes are unknown words.
- It tells colours, sizes and backgrounds well and kinds fairly; patterns alone ("striped mug") are its weakest side.
- It does not count, read, or understand "not" and "without" beyond "without a pattern".
- Similarities are those of a small contrastive encoder: compare them with each other, not with another encoder's.

## Licence

The repository's. The training pictures are drawn by the repository's own code.
""")

_START: Final = """ The run went on from FOLDER, an encoder of the same architecture that had been trained on
captions alone: 600 steps of 512 pairs over 24,000 pictures (seed 1002) of the generator's first version, which posed
objects more freely, and then like this for 2,050 steps in 17 minutes. Without `--start` the same command trains from scratch."""


def model_card(recipe: Recipe, figures: Figures, *, parameters: int, steps: int, seconds: float) -> str:
    """The card as Markdown, with the figures and the command that made them; `steps` and `seconds` of
    training."""
    return _CARD.substitute(
        parameters=f"{parameters:,}",
        pictures=f"{recipe.pictures:,}",
        picture_seed=recipe.picture_seed,
        command=command_of(recipe),
        steps=f"{steps:,}",
        batch=recipe.batch,
        minutes=round(seconds / 60),
        layers=recipe.layers,
        start=_START if recipe.start else "",
        width=recipe.width,
        patch=recipe.patch,
        text_layers=recipe.text_layers,
        text_width=recipe.text_width,
        count=figures["count"],
        seed=figures["seed"],
        distinct=figures["distinct_captions"],
        t1=f"{figures['text_to_image_hit_1']:.3f}",
        t5=f"{figures['text_to_image_hit_5']:.3f}",
        t10=f"{figures['text_to_image_hit_10']:.3f}",
        i1=f"{figures['image_to_text_hit_1']:.3f}",
        i5=f"{figures['image_to_text_hit_5']:.3f}",
        i10=f"{figures['image_to_text_hit_10']:.3f}",
        kind=f"{figures['kind_r_precision']:.3f}",
        colour=f"{figures['colour_kind_r_precision']:.3f}",
        pattern=f"{figures['pattern_kind_r_precision']:.3f}",
    )


def command_of(recipe: Recipe) -> str:
    """The command line that trains by `recipe`; what equals the default is left out."""
    changed = [
        f"--{field.name.replace('_', '-')} "
        f"{'FOLDER' if field.name == 'start' else getattr(recipe, field.name)}"
        for field in fields(recipe)
        if getattr(recipe, field.name) != field.default
    ]
    return " ".join(["python -m benchmarks.demo_weights.train", *changed])
