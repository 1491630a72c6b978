from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vitrine.services.errors import BadRequest, Unavailable
from vitrine.training.logs import SPRITE_EDGE, open_logs

ROW = {"epoch": 3.0, "loss": 0.5, "recall_at_1": 0.75, "seconds": 2.0}


def test_tensorboard_gets_the_figures_and_the_embeddings(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    embeddings = np.eye(4, 3, dtype=np.float32)
    with open_logs(tmp_path / "runs", None, "look", {}) as logs:
        for log in logs:
            log.epoch(ROW)
            log.result({"candidate": {"precision_at_1": 0.875}}, [])
            log.projector(embeddings, ["a", "a", "b", "b"], [Image.new("RGB", (9, 5), "red")] * 4)
    events = EventAccumulator(str(tmp_path / "runs"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "train/loss", "train/seconds", "validation/recall_at_1", "test/precision_at_1/candidate"
    }  # fmt: skip
    (event,) = events.Scalars("validation/recall_at_1")
    assert (event.step, event.value) == (3, 0.75)
    (table,) = (tmp_path / "runs").rglob("tensors.tsv")
    assert len(table.read_text().splitlines()) == 4
    (labels,) = (tmp_path / "runs").rglob("metadata.tsv")
    assert labels.read_text().split() == ["a", "a", "b", "b"]
    (sprite,) = (tmp_path / "runs").rglob("sprite.png")
    assert Image.open(sprite).size == (2 * SPRITE_EDGE, 2 * SPRITE_EDGE)


def test_without_a_folder_and_uri_nothing_is_logged():
    with open_logs(None, None, "look", {}) as logs:
        assert logs == []


def test_mlflow_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(BadRequest, match="not installed"), open_logs(None, "file:./runs", "look", {}):
        pass


def test_mlflow_gets_parameters_figures_and_files(monkeypatch, tmp_path):
    """Against a stand-in with the client's methods: MLflow is no dependency."""
    calls: list[tuple[object, ...]] = []

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            calls.append(("open", tracking_uri))

        def get_experiment_by_name(self, name: str) -> None:
            return None

        def create_experiment(self, name: str) -> str:
            return "7"

        def create_run(self, experiment: str, run_name: str) -> SimpleNamespace:
            calls.append(("run", experiment, run_name))
            return SimpleNamespace(info=SimpleNamespace(run_id="r"))

        def __getattr__(self, name: str):
            return lambda *arguments, **named: calls.append((name, *arguments, *named.values()))

    module = ModuleType("mlflow")
    module.MlflowClient, module.MlflowException = Client, type("MlflowException", (Exception,), {})
    monkeypatch.setitem(sys.modules, "mlflow", module)
    with open_logs(None, "http://tracker", "look", {"lr": 0.1}) as logs:
        logs[0].epoch(ROW)
        logs[0].result({"candidate": {"nmi": 0.5}}, [tmp_path / "report.md"])
    assert ("open", "http://tracker") in calls and ("run", "7", "look") in calls
    assert ("log_param", "r", "lr", 0.1) in calls
    assert ("log_metric", "r", "loss", 0.5, 3) in calls
    assert ("log_metric", "r", "test.candidate.nmi", 0.5) in calls
    assert ("log_artifact", "r", str(tmp_path / "report.md")) in calls
    assert calls[-1] == ("set_terminated", "r")


def test_names_that_mlflow_does_not_take_are_changed_and_the_default_store_is_its_own(monkeypatch):
    calls = stand_in(monkeypatch)
    with open_logs(None, "default", "look", {"k (odd)": 1}) as logs:
        logs[0].epoch({"epoch": 1, "recall@1": 0.5})
        logs[0].result({"candidate": {"recall@1": 0.5}}, [])
    assert ("open", None) in calls and ("log_param", "r", "k _odd_", 1) in calls
    assert ("log_metric", "r", "recall_at_1", 0.5, 1) in calls
    assert ("log_metric", "r", "test.candidate.recall_at_1", 0.5) in calls


def test_what_mlflow_cannot_do_is_a_sentence(monkeypatch):
    stand_in(monkeypatch, fails=("create_experiment",))
    with pytest.raises(
        BadRequest, match=r"^MLflow cannot log to 'file:./runs': No such store\. Say --mlflow sqlite"
    ):
        open_logs(None, "file:./runs", "look", {}).__enter__()
    stand_in(monkeypatch, fails=("log_metric",))
    with pytest.raises(Unavailable, match="--resume"), open_logs(None, "http://tracker", "look", {}) as logs:
        logs[0].epoch(ROW)


def stand_in(monkeypatch, fails=()):
    """A module in place of MLflow; the calls that its client was asked for. Those in ``fails`` raise."""
    calls: list[tuple[object, ...]] = []
    module = ModuleType("mlflow")
    module.MlflowException = type("MlflowException", (Exception,), {})

    class Client:
        def __init__(self, tracking_uri: str | None) -> None:
            calls.append(("open", tracking_uri))

        def get_experiment_by_name(self, name: str) -> None:
            return None

        def __getattr__(self, name: str):
            def call(*arguments, **named):
                if name in fails:
                    raise module.MlflowException("No such\n store. And more of it.")
                calls.append((name, *arguments, *named.values()))
                return SimpleNamespace(info=SimpleNamespace(run_id="r"))

            return call

    module.MlflowClient = Client
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return calls
