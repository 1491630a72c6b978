from __future__ import annotations

import subprocess
import sys

from vitrine.services.encoders.graphs.makers import makers


def _told(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_config_is_taken_by_one_maker_at_most() -> None:
    kinds = ["clip", "siglip", "vit", "dinov2", "beit", "resnet", "swin", "bert", None]
    taken = [sum(maker.takes({"model_type": kind}) for maker in makers()) for kind in kinds]
    assert taken == [1, 1, 1, 1, 1, 1, 1, 0, 0]
    assert [maker.takes({"model_cfg": {}}) for maker in makers()].count(True) == 1
    assert [maker.takes({"pretrained_cfg": {}}) for maker in makers()].count(True) == 1


def test_whether_a_config_is_taken_is_said_without_openvino() -> None:
    program = (
        "import sys; from vitrine.services.encoders.graphs.makers import makers;"
        "print([m.takes({'model_type': 'clip'}) for m in makers()].count(True), 'openvino' in sys.modules)"
    )
    assert _told(program) == "1 False"


def test_openvino_tells_nobody_that_it_was_imported() -> None:
    """Where its package for that is installed, its import looks up a host of statistics and reports."""
    program = (
        "import sys; sys.addaudithook(lambda event, _: event.startswith('socket.') and print(event));"
        "import vitrine.services.encoders.graphs.layers;"
        "told = any(name.startswith('openvino_telemetry.') for name in sys.modules);"
        "print('openvino' in sys.modules, told)"
    )
    assert _told(program) == "True False"
