"""Encoders that a category is bound to: its manifest names them so that every machine finds the same ones.

A folder that a person names lies on their machine alone, and a relative path says something else in another
working directory. So the folder is copied into the object store, as a trained encoder is when it is promoted.
Presets, models of the hub and folders in ``VITRINE_MODELS`` stay what they are called: each server finds its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.families.bundle import whole_folder
from vitrine.services.encoders.families.stored import (
    delete_stored,
    is_stored,
    save_stored,
    stored_model,
    stored_prefix,
)
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.encoders.reference import EncoderReference, parse_reference
from vitrine.services.encoders.resolve import folder_revision, relevant_files
from vitrine.services.errors import AlreadyExists, BadRequest, EncoderMismatch, NotFound
from vitrine.services.object_store.base import ObjectStore

MB = 1_000_000
Tell = Callable[[str], object]
_REFUSALS = (AlreadyExists, BadRequest, EncoderMismatch, NotFound)
"""What is raised before a manifest is written."""
Reference = EncoderReference | EncoderSpec | str


@contextmanager
def bound(
    encoders: EncoderPool,
    objects: ObjectStore,
    category: str,
    references: Iterable[Reference],
    *,
    tell: Tell | None = None,
) -> Iterator[list[EncoderSpec]]:
    """Give the specs that a category's manifest gets for these encoders. Write it inside the
    ``with``.

    A spec stays as it is. Each other is loaded, and so proven, before its folder is copied; ``tell`` is given
    a line about a copy. Where the category refuses them, what was copied for it is gone again. Raises what
    ``EncoderPool.get`` raises.
    """
    copied: list[str] = []
    made = False
    try:
        specs = [_spec(encoders, objects, category, reference, copied, tell) for reference in references]
        made = True
        yield specs
    except BaseException as error:  # Ctrl-C as well
        # what a store said last may not be what it did: where the manifest may have been written, a copy is
        # kept
        if not made or isinstance(error, _REFUSALS):
            for model in copied:
                delete_stored(objects, model)
        raise


def _spec(
    encoders: EncoderPool,
    objects: ObjectStore,
    category: str,
    reference: Reference,
    copied: list[str],
    tell: Tell | None,
) -> EncoderSpec:
    if isinstance(reference, EncoderSpec):
        encoders.for_category(reference)
        return reference
    wanted = parse_reference(reference) if isinstance(reference, str) else reference
    encoder, folder = encoders.get(reference), encoders.loader.named_folder(wanted.model)
    if folder is None or encoder.spec.model != wanted.model:  # one that was registered has no folder
        return encoder.spec
    with whole_folder(folder, encoders.loader) as whole:
        revision = folder_revision(whole)
        model = stored_model(stored_prefix(category, encoder.spec.name), revision)
        if not is_stored(objects, model):
            copied.append(model)
            if tell:
                size = sum(file.stat().st_size for file in relevant_files(whole))
                tell(
                    f"Copying {folder} ({size / MB:,.1f} MB) into the object store, from where every "
                    "server loads it."
                )
        save_stored(objects, whole, stored_prefix(category, encoder.spec.name))
    if revision == encoder.spec.revision:
        encoders.also(EncoderReference(encoder.spec.name, model, revision), encoder)
    return replace(encoder.spec, model=model, revision=revision)
