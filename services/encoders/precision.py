"""Choose the number format and the device that an encoder runs in."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

Precision = Literal["float32", "bfloat16", "int8"]
WantedPrecision = Literal["auto", "float32", "bfloat16", "int8"]

_CPUINFO = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
_GPUS = tuple(map(Path, ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/kfd", "/dev/dxg")))
"""Where drivers of GPUs that torch calls cuda show themselves: NVIDIA's, AMD's, Windows' in Linux."""


def choose_precision(wanted: WantedPrecision, device: str, *, cpuinfo: Path = _CPUINFO) -> Precision:
    """Return the number format to use: ``auto`` is bfloat16 where the hardware multiplies it (AMX,
    AVX512-BF16, CUDA), else float32, which is faster there.

    ``int8`` is chosen as ``auto``: only a graph that was quantised runs in it, and the rest of its encoder in
    what this returns. ``device`` is cpu or cuda[:N]. bfloat16 moves a transformer's embedding by less than
    1e-4 in cosine (a small convolutional network's by up to 4e-3) and runs four times as fast.
    """
    if wanted != "auto" and wanted != "int8":
        return wanted
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if cpu_flags(cpuinfo) & _BFLOAT16_FLAGS else "float32"


def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """Return the first CPU's feature flags as Linux lists them; empty on other systems."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() in ("flags", "Features"):
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def choose_device(wanted: str) -> str:
    """Return the device to use: ``auto`` is cuda where a GPU answers, else cpu."""
    if wanted != "auto":
        return wanted
    if not any(path.exists() for path in _GPUS) or not find_spec("torch"):
        return "cpu"  # torch takes seconds to import: it is asked only where there is something to find
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
