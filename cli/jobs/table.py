"""Which commands are kinds of jobs: a line each. Their options are those of the command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from vitrine.services.jobs.job import Lane


@dataclass(frozen=True)
class Entry:
    """How a command is a kind of job.

    ``source``, ``encoder``: its parameters that name images, or an encoder. ``result``: the parameter that
    names the file or folder it makes, which the job has to be downloaded, with its value where none is given
    ("": it is not made then). ``trained``: the one that names the encoder it makes. ``local``: what only the
    command line may say. ``never``: what no job takes. All else that is a path is a file to be read.
    ``checkpoint``: where this file is in the data folder, an attempt that comes after another is given
    ``--resume``.
    """

    lane: Lane = "heavy"
    source: tuple[str, ...] = ()
    encoder: tuple[str, ...] = ()
    result: Mapping[str, str] = field(default_factory=dict)
    trained: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    checkpoint: str = ""


KINDS: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        "demo": Entry(encoder=("encoder",), result={"folder": "demo"}),
        "index add": Entry(source=("source",), encoder=("encoder",), local=("refused", "skipped")),
        "index sync": Entry(source=("folder",), encoder=("encoder",), local=("refused", "skipped")),
        "index urls": Entry("light", result={"to": "clean.txt", "dropped": "dropped.csv"}),
        "index import": Entry(encoder=("encoder",), local=("refused",)),
        "category fill": Entry(),
        "category optimize": Entry(),
        "category quantize": Entry(),
        "tagger train": Entry(local=("to", "negatives")),  # a word, or else a file of this machine
        "tagger score": Entry(),
        "tagger purge-stale": Entry("light"),
        "tagger zero-shot": Entry(result={"to": ""}),
        "tagger quality": Entry(),
        "metric train": Entry(
            source=("from",),
            encoder=("trunk",),
            local=("to", "mlflow"),
            never=("resume",),
            checkpoint="cache/metric/{name}/state.safetensors",
        ),
        "metric promote": Entry(encoder=("encoder",)),
        "metric rollback": Entry(),
        "autoencoder train": Entry(source=("from",), encoder=("features",), trained=("folder",)),
        "cluster run": Entry(local=("to",)),
        "cluster pixels": Entry(),
        "cluster assign": Entry("light"),
        "cluster name": Entry(),
        "cluster export": Entry("light", result={"to": "folders"}, local=("move", "mode")),
        "cluster delete": Entry("light"),
        "map make": Entry(),
        "map plot": Entry("light", result={"to": "map.png"}),
        "map delete": Entry("light"),
        "duplicates find": Entry(),
        "images annotate": Entry("light"),
        "images hashtags": Entry("light"),
        "images previews": Entry(),
        "export folders": Entry("light", result={"to": "folders"}, local=("mode",)),
        "export table": Entry("light", result={"to": "table.csv"}),
        "check": Entry("light"),
        "backup create": Entry("light", local=("place",)),
        "backup verify": Entry("light", local=("place",)),
    }
)
"""By command, in the order in which they are offered."""
