"""Any vector environment of Gymnasium for Stable-Baselines3, without a lone environment in it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from rlidim.environments.gate import as_floats, bounded, is_finite, not_finite, regular_actions
from rlidim.environments.masks import KEY, METHOD, Reader
from rlidim.errors import RlidimError
from rlidim.trainers.sb3.time_limits import ending

DIGITS = 6  # of a return and a time, as Stable-Baselines3's Monitor rounds them


class OverVector(VecEnv):
    """What Stable-Baselines3 asks of environments, where a vector environment has none by itself.

    Attributes:
        vector: the vector environment.
    """

    vector: Any

    def close(self) -> None:
        """End the environments."""
        self.vector.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the vector environment, once for each environment."""
        count = len(list(self._get_indices(indices)))
        return [getattr(self.vector, attr_name)] * count

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: the environments have no attributes of their own."""
        raise NotImplementedError("a vector's environments have no attributes to set")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: the environments have no methods of their own."""
        raise NotImplementedError("a vector's environments have no methods to call")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Say no: none is wrapped."""
        return [False] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return no pictures."""
        return [None] * self.num_envs


class VectorEnvironments(OverVector):
    """A vector environment as ``DummyVecEnv`` with a ``Monitor`` around each would have it.

    Seeds are each environment's own, as far as the vector environment's are; ``info`` tells of an
    episode's end alone, and ``action_masks`` is the one method. What comes from the environments
    passes the gate (:mod:`rlidim.environments.gate`).
    """

    def __init__(self, vector: VectorEnv[Any, Any, Any]) -> None:
        """Take hold of the environments.

        Args:
            vector: with plain spaces, each environment begun anew in the step that ends an episode.

        Raises:
            RlidimError: the environments begin anew at another moment.
        """
        mode = vector.metadata.get("autoreset_mode")
        self._identity = vector.spec.id if vector.spec else type(vector.unwrapped).__name__
        if mode is not AutoresetMode.SAME_STEP:
            raise RlidimError(
                f"vector environment '{self._identity}' begins anew by {mode}: Stable-Baselines3 "
                f"needs {AutoresetMode.SAME_STEP}"
            )
        observed: Any = vector.single_observation_space
        self.vector = vector
        super().__init__(vector.num_envs, as_floats(observed), bounded(vector.single_action_space))
        self._converts = self.observation_space is not observed
        self._regular = regular_actions(vector.single_action_space)
        self._began = time.time()
        self._actions: Any = None
        self._returns = np.zeros(vector.num_envs)
        self._steps = 0  # of each environment, in all
        self._began_at = np.zeros(vector.num_envs, dtype=np.int64)  # when its episode did
        self._masks: Any = None  # as they came

    def has_attr(self, attr_name: str) -> bool:
        """Say whether there is an attribute, or masks by the name of their method."""
        return self._masks is not None if attr_name == METHOD else super().has_attr(attr_name)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Return the masks of all environments; refuse another method.

        Raises:
            RlidimError: the environments do not say which actions are valid, or not as they should.
        """
        if method_name != METHOD:
            return super().env_method(method_name, *method_args, indices=indices, **method_kwargs)
        return list(Reader(self.action_space, self._identity)(self._masks))

    def reset(self) -> NDArray[Any]:
        """Begin every episode anew, at the seeds of :meth:`seed` if some were given since.

        Raises:
            RlidimError: an observation is not finite.
        """
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        observations, info = self.vector.reset(seed=seeds)
        self._masks = info.get(KEY)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._began_at[:] = self._steps
        if not is_finite(observations):
            raise not_finite(self._identity, True, "at its reset")
        return self._converted(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions, (N, ...), for :meth:`step_wait`."""
        self._actions = actions if self._regular is None else self._regular(actions)

    def step_wait(self) -> Any:
        """Return observations, rewards float32, dones and infos.

        Raises:
            RlidimError: an observation or a reward is not finite.
        """
        observations, rewards, terminated, truncated, info = self.vector.step(self._actions)
        self._check(observations, rewards)
        self._masks = info.get(KEY)
        self._returns += rewards
        self._steps += 1
        dones = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if np.count_nonzero(dones):
            self._tell(infos, dones, terminated, truncated, info)
        return self._converted(observations), rewards.astype(np.float32), dones, infos

    def _tell(
        self,
        infos: list[dict[str, Any]],
        dones: NDArray[np.bool_],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        info: dict[str, Any],
    ) -> None:
        """Write what there is to be known of the episodes that are over."""
        elapsed = round(time.time() - self._began, DIGITS)
        rows = np.flatnonzero(dones)
        finals = info["final_obs"][rows]
        if finals.dtype == object:  # Gymnasium's own vectors keep them apart
            finals = np.stack(finals)
        if not is_finite(finals):
            raise not_finite(self._identity, True, f"for the actions {self._actions}")
        # One by one: there are few, and each of NumPy's selections costs more than a number.
        for row, final in zip(rows.tolist(), self._converted(finals), strict=True):
            infos[row] = ending(
                final, terminated=bool(terminated[row]), truncated=bool(truncated[row])
            )
            infos[row]["episode"] = {
                "r": round(float(self._returns[row]), DIGITS),
                "l": self._steps - int(self._began_at[row]),
                "t": elapsed,
            }
        self._returns[rows] = 0.0
        self._began_at[rows] = self._steps

    def _check(self, observations: NDArray[Any], rewards: NDArray[Any]) -> None:
        """Refuse NaN and infinity, looked for where the sum of all squares is not finite."""
        squares = np.vdot(observations, observations) + np.vdot(rewards, rewards)
        if math.isfinite(squares):
            return
        for numbers, observed in ((rewards, False), (observations, True)):
            if not is_finite(numbers):
                raise not_finite(self._identity, observed, f"for the actions {self._actions}")

    def _converted(self, observations: NDArray[Any]) -> NDArray[Any]:
        if not self._converts:
            return observations
        return observations.reshape(len(observations), -1).astype(np.float32)
