"""How labelled images are divided into training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitrine.services.options import Options, option


@dataclass(frozen=True)
class SplitOptions(Options):
    """Which images train, which choose between epochs (validation), and which test at the end."""

    split: Literal["auto", "image", "class", "given"] = option(
        "auto",
        "class: the test asks for classes never seen. given: as the data says. auto: given or image.",
    )
    val_classes: tuple[str, ...] = option((), "Classes of the validation, with --split class.")
    test_classes: tuple[str, ...] = option((), "Classes of the test, with --split class.")
