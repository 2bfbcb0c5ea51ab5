"""MuJoCo's warnings, which by themselves go to standard error and a file in the user's folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import gymnasium

ENTRY_POINT = "gymnasium.envs.mujoco"
# Of Gymnasium's own half_cheetah.xml, at every loading: nobody but Gymnasium can mend it.
KNOWN = "compiler attribute 'settotalmass' is deprecated"


@contextmanager
def warnings_of_models(identity: str) -> Iterator[None]:
    """Hold back what MuJoCo says of Gymnasium's models while an environment of them is made.

    Any other warning becomes one of Python's. Other environments are left alone.

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

    def tell(message: str) -> None:
        if KNOWN not in message:
            warnings.warn(f"MuJoCo: {message}", RuntimeWarning, stacklevel=2)

    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(tell)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
