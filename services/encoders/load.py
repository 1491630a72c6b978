"""Find and load encoders, and prove each that is loaded."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.base import Encoder
from vitrine.services.encoders.compiled.choose import WantedRuntime, choose_runtime
from vitrine.services.encoders.compiled.proof_memory import ProofMemory, Proven, proof_key
from vitrine.services.encoders.folders.foreign import refusal
from vitrine.services.encoders.folders.layout import find_layout
from vitrine.services.encoders.precision import Precision, WantedPrecision
from vitrine.services.encoders.proof import Proof, encode_inputs, prove
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.registry import EncoderFamily, all_families
from vitrine.services.encoders.resolve import ResolvedModel, resolve_model
from vitrine.services.errors import ModelUnavailable, VitrineError
from vitrine.services.read_only import is_read_only

if TYPE_CHECKING:
    from vitrine.services.settings import Settings

_log = logging.getLogger("vitrine.encoders")


@runtime_checkable
class Roundable(Encoder, Protocol):
    """An encoder that a family loads in float32 and whose weights can be rounded to a smaller format."""

    def precision_for(self, wanted: WantedPrecision) -> Precision: ...

    def round_to(self, precision: Precision) -> None: ...


@dataclass(frozen=True)
class EncoderLoader:
    """Finds and loads encoders of the given families.

    ``models`` is the folder in which models are found by name; ``offline`` forbids downloads. ``runtime``:
    see ``choose_runtime``; OpenVINO computes on ``threads`` cores, 0 for all. ``cache`` is the folder in
    which proofs are remembered; None remembers nothing. The last three are for a trunk:
    ``preprocessing`` replaces what the folder asks for; ``images_only`` leaves out the texts' side of a dual
    model, whose weights may then be missing; ``fuse=False`` keeps torch's layers as they were trained, for
    training on.
    """

    families: tuple[EncoderFamily, ...] = field(default_factory=all_families)
    models: Path = Path("models")
    offline: bool = False
    precision: WantedPrecision = "auto"
    device: str = "auto"
    runtime: WantedRuntime = "auto"
    threads: int = 0
    cache: Path | None = None
    preprocessing: Preprocessing | None = None
    images_only: bool = False
    fuse: bool = True

    @classmethod
    def of(cls, settings: Settings, families: tuple[EncoderFamily, ...] | None = None) -> Self:
        """Return the loader that the settings describe; ``families`` replaces ``all_families()``. A data
        folder that is not there is not made for a cache."""
        families = all_families() if families is None else families
        return cls(
            families,
            settings.models,
            settings.offline,
            settings.precision,
            settings.device,
            settings.runtime,
            settings.threads,
            settings.data / "cache" / "runtime"
            if settings.data.is_dir() and not is_read_only(settings)
            else None,
        )

    def find(self, reference: EncoderReference, *, folders: bool = True) -> ResolvedModel:
        """Return where a model lies and its revision. ``folders=False``: only exactly that commit of the hub.

        Raises ModelUnavailable, which says where to put the weights.
        """
        return self._brought(reference) or resolve_model(
            reference, models_folder=self.models, offline=self.offline, folders=folders
        )

    def named_folder(self, model: str) -> Path | None:
        """Return the folder that ``model`` names by its path, None if other machines know the model by that
        name.

        Those are models that a family finds, models of the hub, and folders in the models folder if that is
        set by a path that means the same everywhere on this machine.
        """
        layout = find_layout(Path(model).expanduser())
        if layout is None or self._brought(EncoderReference("", model)):
            return None
        folder = layout.path
        if self.models.is_absolute() and folder.resolve().parent == self.models.resolve():
            return None
        return folder

    def load(self, reference: EncoderReference, found: ResolvedModel | None = None) -> Encoder:
        """Load an encoder and prove it: see services/encoders/proof.py. ``found`` is where it lies, if known.
        What OpenVINO runs is proven once, if there is a ``cache``: see compiled/proof_memory.py.

        An encoder whose vectors in bfloat16 are not close to those in float32 runs in float32. Only
        safetensors weights are read, and no code that comes with a model is run. Raises ModelUnavailable
        where it is not on this machine, incomplete or damaged, UnsoundEncoder where its vectors are wrong.
        """
        found = found or self.find(reference)
        encoder, proof = self._load(reference, found)
        if proof is None:  # it was proven before
            return encoder
        remark = ""
        if not proof.sound and getattr(encoder, "precision", None) in ("bfloat16", "int8"):
            rounded = proof
            encoder, proof = replace(self, precision="float32", cache=None)._load(reference, found)
            assert proof is not None
            if proof.sound:
                remark = f"runs in float32, because rounded it is not sound. {rounded}."
                _log.warning("%s %s", found.path or reference.model, remark)
        proof.require(found.path or reference.model)
        self._remember(encoder, remark)
        return encoder

    def family(self, reference: EncoderReference, found: ResolvedModel) -> EncoderFamily:
        """Return the family that loads a model. Raises ModelUnavailable where there is none."""
        if found.path is None:
            return next(family for family in self.families if family.find(reference))
        layout = find_layout(found.path)
        config = {} if layout is None else layout.config
        runtime = choose_runtime(self.runtime, self.device, training=not self.fuse)
        for family in self.families:
            # a program's own family need not know of runtimes
            if getattr(family, "runtime", None) in (None, runtime) and family.takes(config):
                return family
        kind = config.get("vitrine")
        raise ModelUnavailable(
            f"{found.path} holds a {kind}, a kind of encoder that this version does not know."
        )

    def _brought(self, reference: EncoderReference) -> ResolvedModel | None:
        """Return the model that one of the families finds itself."""
        return next((found for family in self.families if (found := family.find(reference))), None)

    def _load(self, reference: EncoderReference, found: ResolvedModel) -> tuple[Encoder, Proof | None]:
        """Return the encoder in its number format and its proof, None where an earlier one is remembered."""
        family = self.family(reference, found)
        try:
            encoder = family.load(reference, found, self)
        except VitrineError:
            raise
        except Exception as error:  # four libraries, each with errors of its own
            where = found.path or Path(reference.model)
            raise ModelUnavailable(refusal(where, error, "does not load as an encoder")) from error
        if not isinstance(encoder, Roundable):
            return encoder, prove(encoder)
        if proven := self._recall(encoder):
            encoder.round_to(proven.precision)
            if proven.remark:
                _log.warning("%s %s", found.path, proven.remark)
            return encoder, None
        precision = encoder.precision_for(self.precision)
        if precision == "float32":
            if self.precision == "bfloat16":
                _log.warning("%s runs in float32: in bfloat16 its vectors would be others.", found.path)
            return encoder, prove(encoder)
        # how far int8 may be was judged when it was quantised, on pictures of the category
        exact = None if precision == "int8" else encode_inputs(encoder)
        encoder.round_to(precision)
        return encoder, prove(encoder, exact)

    def _recall(self, encoder: Encoder) -> Proven | None:
        """Return what is remembered of an encoder's proof; of torch's encoders nothing is."""
        return ProofMemory(self.cache).find(self._key(encoder)) if self._remembers(encoder) else None

    def _remember(self, encoder: Encoder, remark: str) -> None:
        if self._remembers(encoder):
            precision: Precision = getattr(encoder, "precision", "float32")
            ProofMemory(self.cache).keep(self._key(encoder), Proven(precision, remark))

    def _remembers(self, encoder: Encoder) -> bool:
        return self.cache is not None and getattr(encoder, "runtime", None) == "openvino"

    def _key(self, encoder: Encoder) -> str:
        return proof_key(encoder.spec, [self.precision, f"images only: {self.images_only}"])
