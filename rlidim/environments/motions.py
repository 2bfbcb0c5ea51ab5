"""The environments whose arithmetic is known here: classic control, and tables of transitions."""

from __future__ import annotations

from typing import Any

import gymnasium

from rlidim.environments.classic_control import control_of
from rlidim.environments.moving import Motion
from rlidim.environments.tabular import table_of


def motion_of(environment: gymnasium.Env[Any, Any]) -> Motion | None:
    """Return what an environment does, or None where only its own code knows it."""
    return control_of(environment) or table_of(environment)
