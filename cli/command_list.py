"""Which commands there are. The module of a command is imported when it runs: a list of them needs none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

import typer

from vitrine.cli.jobs.detach import offer_detach
from vitrine.cli.parameters.light_help import lighten
from vitrine.cli.parameters.quick import quicken


@dataclass(frozen=True)
class Place:
    """Where a command is: a function of ``module``, or a group of commands (a Typer app). ``summary``: its
    line in the list."""

    module: str
    name: str
    summary: str


COMMANDS: Mapping[str, Place] = MappingProxyType(
    {
        "demo": Place(
            "demo.commands",
            "demo",
            'Draw a catalogue, index it as category "demo", search it, learn an encoder and taggers from it, '
            "and search by those.",
        ),
        "category": Place("category", "app", "Create, list, show and delete categories: image collections."),
        "index": Place(
            "index", "app", "Index images: from folders, archives and manifests, or from an older system."
        ),
        "search": Place(
            "search",
            "search",
            "Search a category by picture, text, id, vector or examples; without any of them list it.",
        ),
        "images": Place("images.commands", "app", "List, show, tag, count, delete and restore images."),
        "undo": Place("images.undo", "undo", "Take back an edit or a deletion of the last 24 hours."),
        "tagger": Place(
            "tagger.commands", "app", "Train taggers on stored embeddings, and score images with them."
        ),
        "metric": Place(
            "metric.commands",
            "app",
            "Train an encoder on the classes of a collection, judge it, put it into service.",
        ),
        "cluster": Place(
            "cluster.commands", "app", "Put images into clusters or a tree of them, and look into these."
        ),
        "map": Place("map.commands", "app", "Lay the images of a category out on a plane, and draw it."),
        "duplicates": Place("duplicates", "app", "Find, judge, dismiss and delete near-duplicates."),
        "autoencoder": Place(
            "autoencoder", "app", "Train a convolutional autoencoder and use its code as an embedding."
        ),
        "export": Place(
            "export", "app", "Export pictures into folders, and what is known of them as JSON, CSV or SQL."
        ),
        "jobs": Place(
            "jobs.commands",
            "app",
            "Look at jobs, start, stop and repeat them, and run them without a server.",
        ),
        "backup": Place(
            "backup.commands",
            "app",
            "Back categories up while everything runs, and restore them: also on another engine.",
        ),
        "encoder": Place("encoder", "app", "List encoders and check that one works on this machine."),
        "serve": Place("serve", "serve", "Serve the API until Ctrl-C."),
        "doctor": Place(
            "health.doctor",
            "doctor",
            "Say what is configured and from where, what can be reached, and who holds the data; exit 1 if "
            "something is broken.",
        ),
        "check": Place(
            "health.check",
            "check",
            "Say what is damaged, missing or left over, and repair what can be; exit 3: something is wrong.",
        ),
        "bench": Place("bench", "app", "Measure how long things take on this machine."),
    }
)
"""Commands as --help lists them: the way a newcomer goes."""


def load(name: str) -> Any:
    """Return the command, its help text ready for a terminal of any width."""
    place = COMMANDS[name]
    module = import_module(f"vitrine.cli.{place.module}")
    found = getattr(module, place.name)
    holder = typer.Typer(pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name, epilog=getattr(module, "EXAMPLES", None))(found)
    command = typer.main.get_group(holder).commands[name]
    offer_detach(command, name)
    reflow(command)
    quicken(command)
    lighten(command)
    return command


def reflow(command: Any) -> None:
    """Join the lines of the help texts of a command and those below it, so that the terminal breaks them."""
    for parameter in getattr(command, "params", ()):
        if getattr(parameter, "help", None):  # brackets are text, such as [default: 512,128], and not markup
            parameter.help = re.sub(r"(?<!\\)\[", r"\\[", parameter.help)
    if command.help:
        command.help = "\n\n".join(" ".join(part.split()) for part in command.help.split("\n\n"))
    for below in getattr(command, "commands", {}).values():
        reflow(below)
