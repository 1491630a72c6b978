from __future__ import annotations

import pytest

from tests.cli.conftest import Run
from vitrine.services.settings import Settings


def test_flags_go_before_the_settings(vitrine: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []
    monkeypatch.setattr("vitrine.api.serve.serve", served.append)
    assert vitrine("serve", "--host", "0.0.0.0", "--port", 9123).code == 0
    assert vitrine("serve", env={"VITRINE_PORT": "9124"}).code == 0
    assert [(settings.host, settings.port) for settings in served] == [("0.0.0.0", 9123), ("127.0.0.1", 9124)]
    assert vitrine("serve", "--port", 70000).code == 2
