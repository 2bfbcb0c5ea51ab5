"""Exact resumption of Stable-Baselines3's runs.

A checkpoint holds the model, its optimizers, its replay buffer where it has one, every random state
and how many steps were made. The environments are not copied, which few of them allow: the actions
are on record, one row after another, and a resumed run plays them again at the environments' own
speed. Where the last observation then is not the one that the checkpoint saw, the run begins anew.
"""

from __future__ import annotations

import random
from collections import deque
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize

from rlidim.records.actions import Actions
from rlidim.records.checkpoints import ACTIONS, Checkpoints
from rlidim.trainers.sb3 import replay

# Between two rollouts all of a model's state lies in these, its networks, optimizers and buffer.
ATTRIBUTES = (
    "num_timesteps",
    "_n_updates",
    "_episode_num",
    "_current_progress_remaining",
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
)
OF_SOME = ("_n_calls", "exploration_rate")  # of DQN and its like, whose targets go by the former
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
        model: any.
        more: what else there is to keep.
    """
    recorded = recorded_of(model)
    recorded.actions.flush()
    normalisation = model.get_vec_normalize_env()
    modules, variables = model._get_torch_save_params()
    replay_buffer: ReplayBuffer | None = getattr(model, "replay_buffer", None)
    known: dict[Any, NDArray[Any]] = {}
    checkpoints.save(
        {
            "modules": {
                name: plain(attrgetter(name)(model).state_dict(), known) for name in modules
            },
            "tensors": {name: plain(attrgetter(name)(model), known) for name in variables},
            "replay_buffer": None if replay_buffer is None else replay.packed(replay_buffer),
            "attributes": {name: getattr(model, name) for name in _attributes(model)},
            "memory": plain(_memory(model)),
            "deques": {name: list(getattr(model, name)) for name in DEQUES},
            "normalisation": None if normalisation is None else _normalisation(normalisation),
            "random": _random(model),
            "steps": recorded.actions.count,
            "observations": recorded.observations,
            "more": more,
        }
    )


def _attributes(model: BaseAlgorithm) -> list[str]:
    return [*ATTRIBUTES, *(name for name in OF_SOME if hasattr(model, name))]


def _memory(model: BaseAlgorithm) -> list[torch.Tensor]:
    """Return what an LSTM's actor and critic recall between two rollouts; without one, nothing."""
    states = getattr(model, "_last_lstm_states", None)
    return [] if states is None else [part for network in states for part in network]


def _random(model: BaseAlgorithm) -> dict[str, Any]:
    """Return every random state, and the noise of exploration that was drawn for the next steps."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": plain(torch.get_rng_state()),
        "gpu": plain(torch.cuda.get_rng_state(model.device))
        if model.device.type == "cuda"
        else None,
        "actions": model.action_space.np_random.bit_generator.state,  # of an off-policy warm-up
        "exploration": [plain(getattr(noise, name)) for noise, name in _exploration(model)],
    }


def _exploration(model: BaseAlgorithm) -> list[tuple[Any, str]]:
    """Return where the matrices of state-dependent noise lie, drawn before each rollout."""
    noise = getattr(getattr(model.policy, "actor", None), "action_dist", None)
    if not isinstance(noise, StateDependentNoiseDistribution):
        return []
    return [(noise, name) for name in ("exploration_mat", "exploration_matrices")]


def set_random(model: BaseAlgorithm, states: dict[str, Any]) -> None:
    """Bring back the random states of a checkpoint, at the start of the rollout that it was at."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(tensors(states["torch"]))
    if states["gpu"] is not None:
        torch.cuda.set_rng_state(tensors(states["gpu"]), model.device)
    model.action_space.np_random.bit_generator.state = states["actions"]
    for (noise, name), value in zip(_exploration(model), states["exploration"], strict=True):
        setattr(noise, name, tensors(value).to(model.device))


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
    for name, content in state["modules"].items():
        attrgetter(name)(model).load_state_dict(tensors(content))
    with torch.no_grad():
        for name, content in state["tensors"].items():
            attrgetter(name)(model).copy_(tensors(content))
    if state["replay_buffer"] is not None:
        replay.unpack(model.replay_buffer, state["replay_buffer"])  # type: ignore[attr-defined]
    for name in _attributes(model):
        setattr(model, name, state["attributes"][name])
    for kept, saved in zip(_memory(model), tensors(state["memory"]), strict=True):
        kept.copy_(saved)
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
    set_random(model, state["random"])
    checkpoints.take_up(model.num_timesteps)
    return True
