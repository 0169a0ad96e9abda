from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("mujoco", reason="needs the mujoco extra")


@pytest.mark.parametrize("choice", ["no such thing", "osmesa", "egl", "disabled", ""])
def test_simulates_whatever_mujoco_gl_says(choice: str) -> None:
    script = """
import os
asked = os.environ["MUJOCO_GL"]
from mapush.simulators.mujoco.headless import mujoco
import mujoco as plain
assert plain is mujoco and os.environ["MUJOCO_GL"] == asked
model = mujoco.MjSpec().compile()
mujoco.mj_step(model, mujoco.MjData(model))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "MUJOCO_GL": choice},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
