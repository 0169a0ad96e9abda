"""OpenGL without a display, for pictures: Mesa's or the GPU driver's EGL, else OSMesa.

MuJoCo decides how it draws when it is first imported, which the simulator has long done, and a
library that is missing then shows as a traceback. So the context is made here, on the C libraries
themselves, after both have been tried; MuJoCo draws into whatever context is current.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
from typing import Any, List, Protocol

from mapush.errors import RequestError

FIX = (
    "install one (Debian, Ubuntu: `apt-get install libegl1 libgl1-mesa-dri`, or `apt-get install "
    "libosmesa6`)"
)
_NO_CHOICE = ("", "1", "enable", "enabled", "on", "true")  # MuJoCo's words for "as you like"

_EGL_PLATFORM_DEVICE, _EGL_OPENGL_API = 0x313F, 0x30A2
_EGL_ATTRIBUTES = (
    *(0x3033, 0x0001),  # surface type: off-screen buffer
    *(0x3040, 0x0008),  # renderable type: OpenGL
    *(0x3024, 8, 0x3023, 8, 0x3022, 8, 0x3021, 8),  # red, green, blue, alpha
    *(0x3025, 24, 0x3026, 8),  # depth, stencil
    0x3038,
)
_MAX_DEVICES = 64
_GL_RGBA, _GL_UNSIGNED_BYTE = 0x1908, 0x1401


class Context(Protocol):
    """A current OpenGL context of this thread."""

    def close(self) -> None:
        """Free it."""
        ...


class _UnavailableError(Exception):
    """This way of drawing does not work on this machine; its text is the reason."""


def open_context() -> Context:
    """Make an OpenGL context and make it current.

    The environment variable MUJOCO_GL chooses `egl` or `osmesa`; otherwise the first that works.

    Raises:
        RequestError: there is none, or MUJOCO_GL names none; says what to install.
    """
    asked = os.environ.get("MUJOCO_GL", "").strip().lower()
    if asked not in (*_KINDS, *_NO_CHOICE):
        raise RequestError(
            f"MUJOCO_GL = {asked!r}: pictures are drawn without a display, by {' or '.join(_KINDS)}"
            "; set it to one of these or unset it"
        )
    reasons: List[str] = []
    for name in (asked,) if asked in _KINDS else _KINDS:
        try:
            return _KINDS[name]()
        except _UnavailableError as reason:
            reasons.append(f"{name}: {reason}")
    chosen = f" that MUJOCO_GL = {asked!r} asks for" if asked in _KINDS else ""
    raise RequestError(
        f"the OpenGL library to draw pictures with{chosen} is missing ({'; '.join(reasons)}): {FIX}"
    )


def _load(*names: str) -> ctypes.CDLL:
    for name in names:
        try:
            return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)  # MuJoCo looks for it among these
        except OSError:
            continue
    raise _UnavailableError(f"{names[0]} cannot be loaded")


class _Egl:
    """A context of the first EGL device that gives one; a GPU comes before software."""

    def __init__(self) -> None:
        self._egl = egl = _load("libEGL.so.1", "libEGL.so")
        try:
            self._open(egl)
        except _UnavailableError:
            _ctypes.dlclose(egl._handle)  # else MuJoCo asks it for OSMesa's functions
            raise

    def _open(self, egl: ctypes.CDLL) -> None:
        for function in ("eglGetProcAddress", "eglCreateContext"):
            getattr(egl, function).restype = ctypes.c_void_p
        query = self._extension("eglQueryDevicesEXT", ctypes.c_uint)
        devices, found = (ctypes.c_void_p * _MAX_DEVICES)(), ctypes.c_int()
        if not query(_MAX_DEVICES, devices, ctypes.byref(found)) or not found.value:
            raise _UnavailableError("it finds no driver, not even a software one")
        display_of = self._extension("eglGetPlatformDisplayEXT", ctypes.c_void_p)
        for device in devices[: found.value]:
            display = display_of(_EGL_PLATFORM_DEVICE, ctypes.c_void_p(device), None)
            if display and self._make_current(ctypes.c_void_p(display)):
                return
        raise _UnavailableError(f"none of its {found.value} devices draws without a display")

    def _extension(self, name: str, result: Any) -> Any:  # noqa: ANN401
        address = self._egl.eglGetProcAddress(name.encode())
        if not address:
            raise _UnavailableError(f"it has no {name}")
        return ctypes.CFUNCTYPE(result, *_ARGUMENTS[name])(address)

    def _make_current(self, display: ctypes.c_void_p) -> bool:
        egl, config, count = self._egl, ctypes.c_void_p(), ctypes.c_int()
        wanted = (ctypes.c_int * len(_EGL_ATTRIBUTES))(*_EGL_ATTRIBUTES)
        if not (
            egl.eglInitialize(display, None, None)
            and egl.eglChooseConfig(display, wanted, ctypes.byref(config), 1, ctypes.byref(count))
            and count.value
            and egl.eglBindAPI(_EGL_OPENGL_API)
        ):
            egl.eglTerminate(display)
            return False
        context = ctypes.c_void_p(egl.eglCreateContext(display, config, None, None))
        if not context or not egl.eglMakeCurrent(display, None, None, context):
            return False
        self._display, self._context = display, context
        return True

    def close(self) -> None:
        """Free the context; the display may serve others in this process and stays."""
        self._egl.eglMakeCurrent(self._display, None, None, None)
        self._egl.eglDestroyContext(self._display, self._context)


_ARGUMENTS = {
    "eglQueryDevicesEXT": (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
    "eglGetPlatformDisplayEXT": (ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
}


class _OSMesa:
    """A software context with a buffer of its own, which MuJoCo does not draw into."""

    def __init__(self) -> None:
        self._osmesa = mesa = _load("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")
        mesa.OSMesaCreateContextExt.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(mesa.OSMesaCreateContextExt(_GL_RGBA, 24, 8, 0, None))
        self._buffer = (ctypes.c_ubyte * 4 * 16 * 16)()
        if not self._context or not mesa.OSMesaMakeCurrent(
            self._context, self._buffer, _GL_UNSIGNED_BYTE, 16, 16
        ):
            raise _UnavailableError("it gives no context")

    def close(self) -> None:
        """Free the context."""
        self._osmesa.OSMesaDestroyContext(self._context)


_KINDS = {"egl": _Egl, "osmesa": _OSMesa}
