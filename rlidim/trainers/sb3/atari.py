"""Atari for Stable-Baselines3: ale-py's vector environment as VecEnv, our networks as features."""

from __future__ import annotations

import ctypes
import sys
import time
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from rlidim.environments import atari
from rlidim.networks.atari import PixelArchitecture
from rlidim.tasks.problems import Atari
from rlidim.trainers.sb3.time_limits import ending
from rlidim.trainers.sb3.vector import OverVector

# Parameters of glibc's mallopt, by their numbers in malloc.h, and a value of the first.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER_TRIM = 2**31 - 1


class AtariVecEnv(OverVector):
    """Games side by side, each begun anew in the step that ends it, as SB3 expects.

    Training sees clipped rewards and, where the task says so, the end of a life as an episode's
    end; ``info["episode"]`` has the return and the length, in agent steps, of whole games and
    unclipped rewards, as SB3's Monitor has.
    """

    def __init__(self, game: Atari, width: int) -> None:
        """Make the games.

        Raises:
            RlidimError: see :func:`rlidim.environments.atari.check`.
        """
        self.game = game
        self.vector = atari.make(
            game,
            width,
            autoreset=AutoresetMode.SAME_STEP,
            life_loss=game.terminal_on_life_loss,
        )
        self._began = time.time()
        self._returns = np.zeros(width)
        self._lengths = np.zeros(width, dtype=np.int64)
        self._frames = np.zeros(width, dtype=np.int64)  # of each game so far, the console's count
        super().__init__(
            width, self.vector.single_observation_space, self.vector.single_action_space
        )

    def reset(self) -> NDArray[np.uint8]:
        """Begin every game anew, at the seed of :meth:`seed` if one was given since."""
        seeds = self._seeds
        seed = None if seeds[0] is None else np.array(seeds, dtype=np.int64)
        observations, info = self.vector.reset(seed=seed)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        self._frames = info["episode_frame_number"].astype(np.int64)
        return np.asarray(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Send the actions, (width,); the emulators' threads begin at once."""
        self.vector.send(np.asarray(actions, dtype=np.int64))

    def step_wait(self) -> Any:
        """Return observations, rewards float32, dones and infos."""
        observations, rewards, terminated, truncated, info = self.vector.recv()
        dones = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        frames = info["episode_frame_number"].astype(np.int64)
        # A game that goes on after a life was lost counts its frames on.
        over = dones & (frames <= self._frames)
        self._frames = frames
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for index in np.flatnonzero(dones):
            # After a lost life the game goes on: its frames are those that the step led to.
            shown = (info["final_obs"] if over[index] else observations)[index]
            infos[index] = ending(shown, terminated=terminated[index], truncated=truncated[index])
        for index in np.flatnonzero(over):
            infos[index]["episode"] = {
                "r": float(self._returns[index]),
                "l": int(self._lengths[index]),
                "t": round(time.time() - self._began, 6),
            }
        self._returns[over] = 0.0
        self._lengths[over] = 0
        earned = np.sign(rewards) if self.game.clip_reward else rewards
        return np.asarray(observations), earned.astype(np.float32), dones, infos


class PixelFeatures(BaseFeaturesExtractor):
    """The network of a :class:`PixelArchitecture` without its outputs."""

    def __init__(self, observation_space: spaces.Space[Any], architecture: PixelArchitecture):
        """Build the layers, with the architecture's statistics."""
        super().__init__(observation_space, architecture.layers.units)
        self.features = architecture.features()

    def forward(self, observations: Tensor) -> Tensor:
        """Return the features, (N, units), of frames in 0 .. 1."""
        features: Tensor = self.features(observations)
        return features


def keep_freed_memory() -> None:
    """Let glibc keep freed memory: each step asks anew for a minibatch of frames.

    Without it each of the large blocks is given back to the system and faulted in again, page by
    page, which takes longer than the convolutions. Elsewhere than on glibc it does nothing.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)
