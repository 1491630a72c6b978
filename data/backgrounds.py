"""Draw the background behind an object."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.data.palette import Rgb, luminance, shaded

TEXTURES: Final = ("plain", "shaded", "speckled", "tiled")


def draw_background(texture: str, colour: Rgb, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a (size, size, 3) float32 picture in 0..255 of one texture in one colour."""
    contrast = -1.0 if luminance(colour) > 0.3 else 1.0
    base = np.asarray(colour, dtype=np.float32)
    if texture == "shaded":
        weight = _ramp(size, float(rng.uniform(0, 360)))
        other = np.asarray(shaded(colour, contrast * 0.42), dtype=np.float32)
    elif texture == "speckled":
        cells = max(size // 5, 2)
        grains = (rng.random((cells, cells)) < 0.16).astype(np.float32)
        weight = _enlarged(grains, size)
        other = np.asarray(shaded(colour, contrast * 0.34), dtype=np.float32)
    elif texture == "tiled":
        tile = size / float(rng.uniform(5.0, 7.0))
        shift = rng.uniform(0, 2 * tile, 2)
        line = np.arange(size)
        across, down = ((line + s) // tile % 2 for s in shift)
        weight = (across[None, :] != down[:, None]).astype(np.float32)
        other = np.asarray(shaded(colour, contrast * 0.2), dtype=np.float32)
    else:
        return np.broadcast_to(base, (size, size, 3)).copy()
    mixed: NDArray[np.float32] = base + weight[..., None] * (other - base)
    return mixed


def _ramp(size: int, degrees: float) -> NDArray[np.float32]:
    """Return a (size, size) ramp from 0 to 1 in the given direction."""
    line = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    t = np.radians(degrees)
    ramp = np.float32(np.cos(t)) * line[None, :] + np.float32(np.sin(t)) * line[:, None]
    span = ramp.max() - ramp.min()
    result: NDArray[np.float32] = (ramp - ramp.min()) / span
    return result


def _enlarged(cells: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Enlarge `cells` smoothly to (size, size)."""
    sheet = Image.fromarray((cells * 255).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(sheet, dtype=np.float32) / 255.0
