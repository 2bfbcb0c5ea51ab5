"""Exact resumption of on-policy runs of Stable-Baselines3.

A checkpoint holds the model, its optimizer, every random state and how many steps were made. The
environments are not copied, which few of them allow: the actions are on record, one row after
another, and a resumed run plays them again at the environments' own speed. Where the last
observation then is not the one that the checkpoint saw, the run begins anew.
"""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize

from rlidim.records.actions import Actions
from rlidim.records.checkpoints import ACTIONS, Checkpoints

# Between two rollouts all of an on-policy model's state lies in these, policy and optimizer.
ATTRIBUTES = (
    "num_timesteps",
    "_n_updates",
    "_episode_num",
    "_current_progress_remaining",
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
)
DEQUES = ("ep_info_buffer", "ep_success_buffer")  # of the last episodes
OF_NORMALISATION = ("returns", "old_reward", "old_obs")
RUNNING = ("obs_rms", "ret_rms")  # of normalisation, each a RunningMeanStd
OF_RUNNING = ("mean", "var", "count")


class Recorded(VecEnvWrapper):
    """Environments whose actions are written to a file as they are taken.

    Attributes:
        actions: on record; :meth:`Actions.to` names the file.
        observations: the last ones.
    """

    def __init__(self, venv: VecEnv) -> None:
        """Record nothing until a file is named."""
        super().__init__(venv)
        self._dtype = dtype_of(venv.action_space)
        self.actions = Actions()
        self.observations: Any = None

    def reset(self) -> Any:
        """Reset the environments."""
        self.observations = self.venv.reset()
        return self.observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Record the actions and pass them on, in their space's dtype."""
        actions = np.asarray(actions, dtype=self._dtype)
        self.actions.add(actions)
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        """Return the environments' observations, rewards, dones and infos."""
        step = self.venv.step_wait()
        self.observations = step[0]
        return step

    def replay(self, path: Path, count: int, like: NDArray[Any]) -> bool:
        """Reset, and take the first ``count`` actions of a file again; go on recording to it.

        Args:
            path: the file.
            count: of steps.
            like: one step's actions, for their dtype and shape.

        Returns:
            Whether the file is a regular one and holds so many.
        """
        taken = self.actions.again(path, count, like)
        if taken is None:
            return False
        self.reset()
        for actions in taken:
            self.venv.step_async(actions)
            self.observations = self.venv.step_wait()[0]
        return True


def dtype_of(space: Any) -> np.dtype[Any]:
    """Return the dtype of actions on record: of a choice int64, else the space's own."""
    return np.dtype(space.dtype if space.shape else np.int64)


def recorded_of(model: BaseAlgorithm) -> Recorded:
    """Return the wrapper that records the actions of a model's environments."""
    env: Any = model.get_env()
    while not isinstance(env, Recorded):
        env = env.venv
    return env


def save(checkpoints: Checkpoints, model: BaseAlgorithm, more: Any) -> None:
    """Write a checkpoint of a model that stands between two rollouts.

    Args:
        checkpoints: the run's.
        model: PPO or A2C.
        more: what else there is to keep.
    """
    recorded = recorded_of(model)
    recorded.actions.flush()
    normalisation = model.get_vec_normalize_env()
    checkpoints.save(
        {
            "policy": plain(model.policy.state_dict()),
            "optimizer": plain(model.policy.optimizer.state_dict()),
            "attributes": {name: getattr(model, name) for name in ATTRIBUTES},
            "deques": {name: list(getattr(model, name)) for name in DEQUES},
            "normalisation": None if normalisation is None else _normalisation(normalisation),
            "random": {
                "python": random.getstate(),
                "numpy": np.random.get_state(),
                "torch": plain(torch.get_rng_state()),
                "gpu": plain(torch.cuda.get_rng_state(model.device))
                if model.device.type == "cuda"
                else None,
            },
            "steps": recorded.actions.count,
            "observations": recorded.observations,
            "more": more,
        }
    )


def _normalisation(env: VecNormalize) -> dict[str, Any]:
    content = {name: getattr(env, name) for name in OF_NORMALISATION}
    for name in RUNNING:
        content[name] = {part: getattr(getattr(env, name), part) for part in OF_RUNNING}
    return content


def plain(state: Any, known: dict[Any, NDArray[Any]] | None = None) -> Any:
    """Return a state_dict, or what is in one, with arrays in place of tensors.

    They are views of those on the CPU: write them before the next step.

    Args:
        state: see above.
        known: the arrays of tensors met so far; features that stand in a policy under three names
            come from a GPU once.
    """
    known = {} if known is None else known
    if isinstance(state, torch.Tensor):
        memory = state.data_ptr(), state.shape, state.stride(), state.dtype
        if memory not in known:
            known[memory] = state.detach().cpu().numpy()
        return known[memory]
    if isinstance(state, dict):
        return {name: plain(value, known) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(plain(value, known) for value in state)
    return state


def tensors(state: Any) -> Any:
    """Undo :func:`plain`; the tensors are on the CPU."""
    if isinstance(state, np.ndarray):
        return torch.from_numpy(state)
    if isinstance(state, dict):
        return {name: tensors(value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(tensors(value) for value in state)
    return state


def restore(checkpoints: Checkpoints, model: BaseAlgorithm, state: Any) -> bool:
    """Bring a model that was just built, and its environments, to a checkpoint's state.

    Returns:
        Whether the environments came back to where they were; if not, the checkpoints' note says
        why. Then, and where it raises, the model and its environments must be made anew.
    """
    recorded = recorded_of(model)
    width = recorded.num_envs
    space: Any = recorded.action_space
    like = np.zeros((width, *space.shape), dtype=dtype_of(space))
    path = checkpoints.folder / ACTIONS
    if not recorded.replay(path, state["steps"], like):
        checkpoints.note = f"{path}: holds fewer steps than the checkpoint beside it"
        return False
    if not np.array_equal(recorded.observations, state["observations"]):
        checkpoints.note = (
            f"{path}: played again, it leads elsewhere: the environment is not deterministic"
        )
        return False
    model.policy.load_state_dict(tensors(state["policy"]))
    model.policy.optimizer.load_state_dict(tensors(state["optimizer"]))
    for name in ATTRIBUTES:
        setattr(model, name, state["attributes"][name])
    for name in DEQUES:
        setattr(model, name, deque(state["deques"][name], maxlen=model._stats_window_size))
    normalisation = model.get_vec_normalize_env()
    if normalisation is not None:
        saved = state["normalisation"]
        for name in OF_NORMALISATION:
            setattr(normalisation, name, saved[name])
        for name in RUNNING:
            for part in OF_RUNNING:
                setattr(getattr(normalisation, name), part, saved[name][part])
    states = state["random"]
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(tensors(states["torch"]))
    if states["gpu"] is not None:
        torch.cuda.set_rng_state(tensors(states["gpu"]), model.device)
    checkpoints.take_up(model.num_timesteps)
    return True
