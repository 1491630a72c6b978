"""openvino without its converter builds and runs graphs, and has the converter when it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """
import json, sys
from vitrine.services.encoders.compiled.library import import_openvino
if sys.argv[1] == "whole":
    import openvino
import_openvino()
import_openvino()
import numpy as np
import openvino
import openvino as ov
from openvino import opset13 as ops
early = "openvino.tools.ovc" in sys.modules
given = ops.parameter([2], ov.Type.f32)
model = ov.Model([ops.add(given, ops.constant([1.0, 2.0], ov.Type.f32))], [given], "sum")
found = ov.Core().compile_model(model, "CPU")([np.float32([3.0, 4.0])])[0].tolist()
try:
    ov.no_such_thing
except AttributeError as error:
    missing = str(error)
whole = ov.convert_model.__module__
print(json.dumps([early, found, missing, whole, "openvino.tools.ovc" in sys.modules]))
"""


@pytest.mark.parametrize("how", ["light", "whole"])
def test_the_converter_comes_when_it_is_used(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, how], capture_output=True, text=True, timeout=120, check=True
    )
    early, found, missing, module, late = json.loads(done.stdout)
    assert early is (how == "whole")
    assert found == [4.0, 6.0]
    assert "no_such_thing" in missing
    assert (module, late) == ("openvino.tools.ovc.convert", True)
