"""Log the figures of a run while it runs: to TensorBoard, and to MLflow where asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest, Unavailable
from vitrine.services.extras import from_extra

DEFAULT = "default"
"""In place of an address: the store that MLflow takes by itself, from MLFLOW_TRACKING_URI or its own
default."""
SPRITE_EDGE = 32
"""Side in pixels of the small pictures in TensorBoard's projector."""


class RunLog(Protocol):
    """Where figures are logged. Numbers come by name, an epoch's with its number."""

    def epoch(self, row: Mapping[str, float]) -> None: ...

    def result(self, metrics: Mapping[str, Mapping[str, float]], files: Sequence[Path]) -> None: ...

    def projector(
        self, embeddings: Embeddings, classes: Sequence[str], pictures: Sequence[Image.Image]
    ) -> None: ...

    def close(self) -> None: ...


class TensorBoardLog:
    """Log scalars, and for the projector the embeddings with their classes and small pictures."""

    def __init__(self, folder: Path) -> None:
        with from_extra("train"):
            from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def epoch(self, row: Mapping[str, float]) -> None:
        for name, value in _numbers(row):
            group = "train" if name in ("loss", "lr", "seconds") else "validation"
            self._writer.add_scalar(f"{group}/{name}", value, int(row["epoch"]))

    def result(self, metrics: Mapping[str, Mapping[str, float]], files: Sequence[Path]) -> None:
        for encoder, values in metrics.items():
            for name, value in _numbers(values):
                self._writer.add_scalar(f"test/{name}/{encoder}", value)

    def projector(
        self, embeddings: Embeddings, classes: Sequence[str], pictures: Sequence[Image.Image]
    ) -> None:
        import torch

        sprites = np.stack(
            [np.asarray(picture.convert("RGB").resize((SPRITE_EDGE, SPRITE_EDGE))) for picture in pictures]
        )
        self._writer.add_embedding(
            torch.from_numpy(embeddings),
            metadata=list(classes),
            label_img=torch.from_numpy(sprites).permute(0, 3, 1, 2).float() / 255,
            tag="test",
        )

    def close(self) -> None:
        self._writer.close()


class MlflowLog:
    """Log a run to MLflow: parameters, metrics by epoch, and the files of the report.

    ``uri``: a server, a database such as sqlite:///mlflow.db, or ``default`` for MLflow's own choice. Names
    are those that MLflow takes: ``recall@1`` is ``recall_at_1``. What MLflow cannot do is ``BadRequest`` at
    the start, ``Unavailable`` later.
    """

    def __init__(self, uri: str, name: str, parameters: Mapping[str, Any]) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise BadRequest(
                "MLflow is not installed: `pip install mlflow`, or leave --mlflow out."
            ) from error
        self._failures: tuple[type[Exception], ...] = (mlflow.MlflowException, OSError)
        try:
            self._client = mlflow.MlflowClient(tracking_uri=None if uri in ("", DEFAULT) else uri)
            found = self._client.get_experiment_by_name("vitrine")
            experiment = (
                found.experiment_id if found is not None else self._client.create_experiment("vitrine")
            )
            self._run: str = self._client.create_run(experiment, run_name=name).info.run_id
            for key, value in parameters.items():
                self._client.log_param(self._run, _mlflow_name(key), value)
        except self._failures as error:
            raise BadRequest(
                f"MLflow cannot log to {uri!r}: {_first_sentence(error)} Say --mlflow "
                f"sqlite:///mlflow.db, --mlflow {DEFAULT} or a server that answers, or leave --mlflow "
                "out.",
                mlflow=uri,
            ) from error

    def epoch(self, row: Mapping[str, float]) -> None:
        with self._said():
            for name, value in _numbers(row):
                self._client.log_metric(self._run, _mlflow_name(name), value, step=int(row["epoch"]))

    def result(self, metrics: Mapping[str, Mapping[str, float]], files: Sequence[Path]) -> None:
        with self._said():
            for encoder, values in metrics.items():
                for name, value in _numbers(values):
                    self._client.log_metric(self._run, _mlflow_name(f"test.{encoder}.{name}"), value)
            for file in files:
                self._client.log_artifact(self._run, str(file))

    def projector(
        self, embeddings: Embeddings, classes: Sequence[str], pictures: Sequence[Image.Image]
    ) -> None:
        pass  # MLflow shows no embeddings

    def close(self) -> None:
        with self._said():
            self._client.set_terminated(self._run)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Turn a failure of MLflow into ``Unavailable``."""
        try:
            yield
        except self._failures as error:
            raise Unavailable(
                f"MLflow did not take the figures: {_first_sentence(error)} Run it again with "
                "--resume, or without --mlflow."
            ) from error


@contextmanager
def open_logs(
    folder: Path | None, mlflow: str | None, name: str, parameters: Mapping[str, Any]
) -> Iterator[list[RunLog]]:
    """Open TensorBoard files in ``folder`` (None, or TensorBoard not installed: none), and an MLflow run at
    the URI ``mlflow``."""
    logs: list[RunLog] = []
    try:
        if mlflow is not None:
            logs.append(MlflowLog(mlflow, name, parameters))
        if folder is not None and _has_tensorboard():
            logs.append(TensorBoardLog(folder))
        yield logs
    finally:
        for log in logs:
            log.close()


def _has_tensorboard() -> bool:
    from importlib.util import find_spec

    return find_spec("tensorboard") is not None


def _numbers(row: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [
        (name, float(value))
        for name, value in row.items()
        if name != "epoch" and isinstance(value, int | float)
    ]


def _mlflow_name(name: str) -> str:
    """Return a name that MLflow accepts.

    >>> _mlflow_name("test.candidate.recall@1"), _mlflow_name("MAP@R (10 %)")
    ('test.candidate.recall_at_1', 'MAP_at_R _10 __')
    """
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"), flags=re.ASCII)


def _first_sentence(error: Exception) -> str:
    """Return the first sentence of an error's message, on one line."""
    text = " ".join(str(error).split()) or "it gives no reason"
    text = re.sub(r"\(Caused by .*", "", text)
    return text.split(". ")[0].strip().rstrip(".")[:240] + "."
