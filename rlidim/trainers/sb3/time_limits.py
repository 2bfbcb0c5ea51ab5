"""The bootstrap of time limits: what Stable-Baselines3 has to be told of an episode that was cut.

An episode that a time limit ends could have earned more: its last value is bootstrapped, not taken
for zero (Pardo et al. 2018, "Time Limits in Reinforcement Learning"). Stable-Baselines3 does so,
with gamma V(terminal observation), where the info of a step has these two keys.
"""

from __future__ import annotations

from typing import Any


def ending(observation: Any, *, terminated: bool, truncated: bool) -> dict[str, Any]:
    """Return the info of an episode's last step.

    Args:
        observation: what the step led to, before the environment was reset.
        terminated: whether the task itself ended the episode: nothing is bootstrapped then.
        truncated: whether a limit did.
    """
    return {
        "terminal_observation": observation,
        "TimeLimit.truncated": bool(truncated and not terminated),
    }
