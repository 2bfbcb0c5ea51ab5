"""Quiet MuJoCo: no warnings on standard error and in a file, no clock read in every step."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import gymnasium

ENTRY_POINT = "gymnasium.envs.mujoco"
# Of Gymnasium's own half_cheetah.xml, at every loading: nobody but Gymnasium can mend it.
KNOWN = "compiler attribute 'settotalmass' is deprecated"


@contextmanager
def quiet_mujoco(identity: str) -> Iterator[None]:
    """Hold back what MuJoCo says of Gymnasium's models while an environment of them is made.

    Any other warning becomes one of Python's. From then on no clock is read, and what is said of a
    simulation that becomes unstable is heard by nobody, unless somebody has set a handler before:
    a policy that is tried out may make it so at every step. Other environments are left alone.

    Args:
        identity: Gymnasium's name of the environment.
    """
    specification = gymnasium.registry.get(identity)
    entry_point = None if specification is None else specification.entry_point
    if not isinstance(entry_point, str) or not entry_point.startswith(ENTRY_POINT):
        yield
        return
    try:
        import mujoco
    except ImportError:  # Gymnasium says so better
        yield
        return

    stop_clock(Path(mujoco.__file__).parent)

    def tell(message: str) -> None:
        if KNOWN not in message:
            warnings.warn(f"MuJoCo: {message}", RuntimeWarning, stacklevel=2)

    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(tell)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before or unheard)


def unheard(message: str) -> None:
    """Ignore a warning of MuJoCo's, which without a handler goes into a file where one works."""


def stop_clock(package: Path) -> None:
    """Take back the clock that MuJoCo's Python package gives to the simulator.

    It is read at every stage of a step, a fifth of a small model's time, and serves MjData.timer
    alone. The package itself can replace it and not remove it: ``set_mjcb_time(None)`` puts it
    back. It is gone for the whole process; where the library is not found by its name on Linux and
    macOS, or has no such clock, it stays.

    Args:
        package: the folder of the module ``mujoco``, which has been imported.
    """
    for library in package.glob("libmujoco*"):
        with suppress(OSError, ValueError):
            ctypes.c_void_p.in_dll(ctypes.CDLL(str(library)), "mjcb_time").value = None
