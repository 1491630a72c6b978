"""Options of previews."""

from __future__ import annotations

from dataclasses import dataclass

from vitrine.services.options import Options, option


@dataclass(frozen=True)
class PreviewOptions(Options):
    """What is made of each image besides its dominant colour and its blur."""

    widths: tuple[int, ...] = option(
        (),
        "Make thumbnails of these widths too: 160, 320, 640, 1280. Others are rounded up; what is not made "
        "here is made when it is first asked for.",
    )
    again: bool = option(False, "Also where they are there already.")
