"""The families of encoders: each finds and loads one kind of model.

The families that come with Vitrine are listed in services/encoders/families/built_in.py; a program adds its
own with ``register_encoder``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from vitrine.services.errors import ModelUnavailable

if TYPE_CHECKING:
    from vitrine.services.encoders.base import Encoder
    from vitrine.services.encoders.compiled.choose import Runtime
    from vitrine.services.encoders.load import EncoderLoader
    from vitrine.services.encoders.reference import EncoderReference
    from vitrine.services.encoders.resolve import ResolvedModel


class EncoderFamily(Protocol):
    """One kind of encoder. Subclass it and write the methods that apply.

    ``find`` is for models without a folder, such as ``vitrine/colour``, and for folders in a place that
    Vitrine does not know. Other folders it finds itself: by path, in the models folder or on the hub.
    ``takes`` and ``load`` are for folders, wherever they were found; a model without a folder needs ``find``
    and ``load``. ``runtime``: the one that its encoders run in, None for any; a folder is not shown to it
    where another was chosen.
    """

    runtime: Runtime | None = None

    def find(self, reference: EncoderReference) -> ResolvedModel | None:
        """Return the model with this name; None where it is not of this family."""
        return None

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Return whether this family loads a folder whose config.json says ``config``."""
        return False

    def load(self, reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader) -> Encoder:
        """Load the model that was found; any exception becomes ``ModelUnavailable``.

        ``found.path`` is its folder, None where ``find`` gave none. ``loader`` has the precision and the
        device that are wanted, and loads other encoders, such as a trunk. The encoder's spec has the name and
        the model of the reference and the revision that was found.
        """
        raise ModelUnavailable(f"{type(self).__name__} finds {reference.model} but cannot load it.")


_REGISTERED: list[EncoderFamily] = []
"""The families that this program added, the newest first. The only state of the process: a program registers
its families once, before it opens any data."""


def register_encoder(family: EncoderFamily) -> None:
    """Add a family of encoders to this program. It is asked before those that are there already."""
    _REGISTERED.insert(0, family)


def all_families() -> tuple[EncoderFamily, ...]:
    """Return the families that this program registered, then the built-in ones."""
    from vitrine.services.encoders.families.built_in import built_in_families

    return (*_REGISTERED, *built_in_families())
