"""Which encoders were proven on this machine, so that a proof is made once and not at each start.

A proof is about weights, code and processor: where the revision, a version or the processor's abilities are
others, it is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast, get_args

from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.precision import Precision, cpu_flags

_log = logging.getLogger("vitrine.encoders")
_PACKAGES = ("vitrine", "openvino", "tokenizers", "numpy")


@dataclass(frozen=True)
class Proven:
    """What an earlier proof said: the number format in which the encoder is sound. ``remark``: why it is not
    the one that was wanted; empty where it is."""

    precision: Precision
    remark: str = ""


@dataclass(frozen=True)
class ProofMemory:
    """Passed proofs, a small file each in ``folder``; None remembers nothing. What cannot be read or written
    is as good as forgotten."""

    folder: Path | None

    def find(self, key: str) -> Proven | None:
        """Return what was proven under this key; None where nothing was."""
        if self.folder is None:
            return None
        try:
            tree = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            proven = Proven(cast(Precision, str(tree["precision"])), str(tree["remark"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return proven if proven.precision in get_args(Precision) else None

    def keep(self, key: str, proven: Proven) -> None:
        """Remember a proof that was passed."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.folder, encoding="utf-8", delete=False) as file:
                json.dump(asdict(proven), file)
            Path(file.name).replace(self.folder / f"{key}.json")
        except OSError as error:
            _log.debug("a proof is not remembered: %s", error)


def proof_key(spec: EncoderSpec, conditions: Sequence[str]) -> str:
    """Return what a proof is about, as a digest: the weights, how pictures are fitted, the versions of what
    computes, the processor, and ``conditions`` such as the number format that is wanted."""
    identity = [
        spec.revision,
        spec.dim,
        spec.modalities,
        asdict(spec.preprocessing),
        spec.pooling,
        *conditions,
        *map(installed_version, _PACKAGES),
        platform.machine(),
        sorted(cpu_flags()),
    ]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def installed_version(package: str) -> str:
    """Return the version of an installed package; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
