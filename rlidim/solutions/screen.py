"""What pictures are drawn on: a display, or something that needs none."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")  # variables that name one
DRIVER = "SDL_VIDEODRIVER"  # the variable that names what pygame draws on
GL = "MUJOCO_GL"  # the variable that names what MuJoCo draws with


def has_display() -> bool:
    """Say whether windows can be shown here."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, DISPLAYS))


def about() -> str:
    """Return what decides whether MuJoCo can draw here."""
    return f"{has_display()} {os.environ.get(GL)}"


@contextlib.contextmanager
def without_window() -> Iterator[None]:
    """Have pygame draw without a display, and without a word about one that is missing."""
    before = os.environ.get(DRIVER)
    os.environ[DRIVER] = "dummy"
    try:
        yield
    finally:
        if before is None:
            del os.environ[DRIVER]
        else:
            os.environ[DRIVER] = before
