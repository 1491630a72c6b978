"""Write the caption of a drawn picture."""

from typing import Final

import numpy as np

from vitrine.data.facts import Facts

DETAILS: Final = ("with {accent} details", "with {accent} trim", "with {accent} parts")


def full_caption(facts: Facts, rng: np.random.Generator) -> str:
    """Return a sentence that names every fact, such as "a large red striped mug with white details on a plain
    blue background".

    The look of a sharp picture is not mentioned.
    """
    look = "" if facts.look == "sharp" else f"{facts.look} "
    noun = f"{facts.size} {facts.main} {facts.pattern} {facts.kind}"
    background = article(f"{facts.texture} {facts.background} background")
    details = DETAILS[int(rng.integers(len(DETAILS)))].format(accent=facts.accent)
    sentences = (
        article(f"{look}{noun} {details} on {background}"),
        f"{article(f'{look}photo of')} {article(noun)} {details} on {background}",
        f"{article(f'{look}picture of')} {article(noun)} {details} in front of {background}",
        f"{background} behind {article(f'{look}{noun}')} {details}",
    )
    return sentences[int(rng.integers(len(sentences)))]


def article(noun: str) -> str:
    """Return the noun behind its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
