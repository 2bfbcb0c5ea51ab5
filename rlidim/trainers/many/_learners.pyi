"""The extension's learners and calls; every array is contiguous float32 but for the order."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]

def instruction_sets() -> list[str]: ...
def use(name: str) -> None: ...

class Learner:
    def __init__(
        self,
        *,
        sizes: Sequence[int],
        tanh: bool,
        gaussian: bool,
        parameters: Numbers,
        gradient: Numbers,
        mean: Numbers,
        square: Numbers,
        confined: int,
        theta_0: Numbers | None = None,
        P: Numbers | None = None,
        theta_d: Numbers | None = None,
        gradient_d: Numbers | None = None,
        entropy: float,
        value: float,
        longest: float | None = None,
        normalised: bool,
        root_mean_square: bool,
        epsilon: float,
        critic: bool,
    ) -> None: ...
    def values(self, observations: Numbers, out: Numbers) -> None: ...
    def log_probabilities(self, observations: Numbers, actions: Numbers, out: Numbers) -> None: ...
    def learn(
        self,
        *,
        observations: Numbers,
        actions: Numbers,
        advantages: Numbers,
        returns: Numbers,
        old: Numbers,
        order: NDArray[np.int32],
        batch: int,
        rate: float,
        factor: float,
        clip: float,
        steps: int,
        adjoint: Callable[[], object] | None = None,
        write: Callable[[], object] | None = None,
    ) -> int: ...
    def regress(
        self,
        *,
        observations: Numbers,
        actions: Numbers,
        targets: Numbers,
        batch: int,
        rate: float,
        factor: float,
        steps: int,
        adjoint: Callable[[], object] | None = None,
        write: Callable[[], object] | None = None,
    ) -> int: ...
    def greatest(self, parameters: Numbers, observations: Numbers, out: Numbers) -> None: ...
    def write(self) -> None: ...

def act(
    learners: Sequence[Learner], observations: Numbers, noise: Numbers, actions: Numbers
) -> None: ...
def outputs(
    learners: Sequence[Learner], counts: Sequence[int], observations: Numbers, out: Numbers
) -> None: ...
