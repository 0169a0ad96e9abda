from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from mapush.errors import RequestError
from mapush.rendering import opengl

OPEN = """
from mapush.errors import exit_with
from mapush.rendering.opengl import open_context
exit_with(lambda: print(type(open_context()).__name__) or 0)
"""


def test_missing_libraries_are_one_line_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, **_: object) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(RequestError) as caught:
        opengl.open_context()
    message = str(caught.value)
    assert "\n" not in message
    assert "egl: libEGL.so.1 cannot be loaded; osmesa: libOSMesa.so.8 cannot be loaded" in message
    assert "apt-get install libegl1 libgl1-mesa-dri" in message
    assert "apt-get install libosmesa6" in message


def test_a_choice_of_the_user_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise opengl._UnavailableError("it is not there")

    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setitem(opengl._KINDS, "osmesa", missing)
    with pytest.raises(RequestError, match=r"MUJOCO_GL = 'osmesa' .*\(osmesa: it is not there\)"):
        opengl.open_context()


@pytest.mark.parametrize("choice", ["disabled", "glfw", "no such thing"])
def test_a_choice_that_draws_nothing_is_refused(choice: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN],
        env={**os.environ, "MUJOCO_GL": choice},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"mapush: MUJOCO_GL = {choice!r}: pictures are drawn without a display, by egl or osmesa; "
        "set it to one of these or unset it\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["egl", "osmesa"])
def test_draws_after_mujoco_is_imported(kind: str) -> None:
    """MuJoCo reads MUJOCO_GL at import; what is set here comes later."""
    pytest.importorskip("mujoco", reason="pictures need the mujoco extra")
    script = f"""
import os
os.environ.pop("MUJOCO_GL", None)
import mujoco
os.environ["MUJOCO_GL"] = {kind!r}
from mapush.errors import exit_with
from mapush.rendering.opengl import open_context
def draw():
    for _ in range(2):
        context = open_context()
        model = mujoco.MjSpec().compile()
        mujoco.MjrContext(model, 100).free()
        context.close()
    return 0
exit_with(draw)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    if done.returncode == 2 and not (os.environ.get("CI") and kind == "egl"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
