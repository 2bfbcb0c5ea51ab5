"""Every algorithm that can be confined stays in its subspace, its target networks too."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from rlidim.errors import RlidimError
from rlidim.subspace import Subspace, SubspaceOptimizer
from rlidim.trainers.sb3.confine import actor_optimizer, confine, load_confined
from tests.marks import slow_but

contrib = pytest.importorskip("sb3_contrib")

STEPS = 1000
ON_POLICY: dict[str, Any] = {"n_steps": 50, "policy_kwargs": {"net_arch": [8]}}
VALUES: dict[str, Any] = {
    "learning_starts": 100,
    "target_update_interval": 20,
    "tau": 0.5,
    "policy_kwargs": {"net_arch": [8]},
}
ACTORS: dict[str, Any] = {
    "learning_starts": 100,
    "batch_size": 16,
    "train_freq": 4,
    "policy_kwargs": {"net_arch": [8]},
}
MINIBATCHES = {**ON_POLICY, "batch_size": 50}
CASES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "ppo": (PPO, "MlpPolicy", {**MINIBATCHES, "n_epochs": 2}),
    "a2c": (A2C, "MlpPolicy", ON_POLICY),
    "dqn": (DQN, "MlpPolicy", VALUES),
    "sac": (SAC, "MlpPolicy", ACTORS),
    "td3": (TD3, "MlpPolicy", ACTORS),
    "ddpg": (DDPG, "MlpPolicy", ACTORS),
    "qrdqn": (contrib.QRDQN, "MlpPolicy", VALUES),
    "tqc": (contrib.TQC, "MlpPolicy", ACTORS),
    "crossq": (contrib.CrossQ, "MlpPolicy", ACTORS),
    "trpo": (contrib.TRPO, "MlpPolicy", MINIBATCHES),
    "recurrent_ppo": (
        contrib.RecurrentPPO,
        "MlpLstmPolicy",
        {**MINIBATCHES, "n_epochs": 1, "policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 4}},
    ),
    "maskable_ppo": (contrib.MaskablePPO, "MlpPolicy", {**MINIBATCHES, "n_epochs": 2}),
}
CONTINUOUS = ("sac", "td3", "ddpg", "tqc", "crossq")
TARGETS = {"q_net": "q_net_target", "quantile_net": "quantile_net_target", "actor": "actor_target"}


class Mask(gymnasium.Wrapper):  # type: ignore[type-arg]
    """CartPole whose cart may not be pushed beyond a place."""

    def action_masks(self) -> list[bool]:
        place = float(self.unwrapped.state[0])  # type: ignore[attr-defined]
        return [place > -0.02, True]


def build(name: str) -> Any:
    algorithm, policy, arguments = copy.deepcopy(CASES[name])  # models write into them
    env: Any = "Pendulum-v1" if name in CONTINUOUS else "CartPole-v1"
    if name == "maskable_ppo":
        env = Mask(gymnasium.make(env))
    return algorithm(policy, env, seed=0, device="cpu", **arguments)


def outside(subspace: Subspace, numbers: Tensor) -> float:
    """Return how far numbers (D,) lie out of theta_0 + P theta_d, whatever theta_d."""
    moved = (numbers - subspace.theta_0).double()
    P = subspace.projection.to_dense().double()
    return float((moved - P @ torch.linalg.lstsq(P, moved).solution).abs().max())


def vector(parameters: list[nn.Parameter]) -> Tensor:
    return nn.utils.parameters_to_vector(parameters).detach()


@pytest.mark.parametrize("name", slow_but(["ppo", "td3", "qrdqn", "trpo"], CASES))
def test_it_stays_in_its_subspace_for_a_thousand_steps(name: str) -> None:
    model: BaseAlgorithm = confine(build(name), d=4, projection="rademacher", seed=3)
    model.learn(STEPS)
    optimizer = actor_optimizer(model)
    assert isinstance(optimizer, SubspaceOptimizer)
    subspace = optimizer.subspace
    assert float(subspace.theta_d.detach().norm()) > 1e-3
    assert outside(subspace, vector(subspace.parameters)) < 1e-6
    policy: Any = model.policy
    for network, target in TARGETS.items():
        if hasattr(policy, target):
            names = {id(value): key for key, value in getattr(policy, network).named_parameters()}
            of_target = dict(getattr(policy, target).named_parameters())
            targets = [of_target[names[id(parameter)]] for parameter in subspace.parameters]
            assert not torch.equal(vector(targets), subspace.theta_0)
            assert outside(subspace, vector(targets)) < 1e-6


@pytest.mark.parametrize(
    "name", ["ddpg", "qrdqn", "tqc", "crossq", "recurrent_ppo", "trpo", "maskable_ppo"]
)
def test_it_is_saved_and_goes_on_in_its_subspace(name: str, tmp_path: Path) -> None:
    model: BaseAlgorithm = confine(build(name), d=4, projection="rademacher", seed=3)
    model.learn(150)
    model.save(tmp_path / "model")
    loaded = load_confined(CASES[name][0], tmp_path / "model", env=model.get_env(), device="cpu")
    before, again = actor_optimizer(model), actor_optimizer(loaded)
    assert isinstance(before, SubspaceOptimizer)
    assert isinstance(again, SubspaceOptimizer)
    assert torch.equal(again.theta_d, before.theta_d)
    assert torch.equal(vector(again.subspace.parameters), vector(before.subspace.parameters))
    loaded.learn(150, reset_num_timesteps=False)
    assert not torch.equal(again.theta_d, before.theta_d)
    assert outside(again.subspace, vector(again.subspace.parameters)) < 1e-6


@pytest.mark.parametrize("identity", ["CartPole-v1", "Pendulum-v1"])
def test_trpo_in_the_whole_space_is_trpo(identity: str) -> None:
    """With an orthonormal square P the coordinates change, and the steps do not."""

    def step(confined: bool) -> Tensor:
        """Return where one step leads; later ones would act on roundings."""
        arguments = {"n_steps": 128, "policy_kwargs": {"net_arch": [4]}, "device": "cpu"}
        model = contrib.TRPO("MlpPolicy", identity, seed=0, **arguments)
        start = vector(_acting(model)).clone()
        if confined:
            confine(model, d=len(start), projection="rotation", seed=0)
        model.learn(128)
        return vector(_acting(model)) - start

    alone = step(False)
    assert float(alone.norm()) > 1e-2
    torch.testing.assert_close(step(True), alone, rtol=0.0, atol=1e-3 * float(alone.norm()))


def _acting(model: Any) -> list[nn.Parameter]:
    parts = [model.policy.mlp_extractor.policy_net, model.policy.action_net]
    return [parameter for part in parts for parameter in part.parameters()]


def test_trpo_s_critic_is_not_confined_with_its_policy() -> None:
    with pytest.raises(RlidimError, match="out of its trust region: scope policy"):
        confine(build("trpo"), d=4, scope="all")


def test_a_trpo_of_ones_own_is_refused() -> None:
    class Own(contrib.TRPO):  # type: ignore[misc, name-defined]
        pass

    model = Own("MlpPolicy", "CartPole-v1", device="cpu")
    optimizer, arguments = model.policy.optimizer, dict(model.policy_kwargs)
    for _ in range(2):
        with pytest.raises(RlidimError, match="Own is derived from TRPO"):
            confine(model, d=4)
    assert model.policy.optimizer is optimizer
    assert model.policy_kwargs == arguments
    assert type(model) is Own


def test_what_has_no_optimizer_is_refused() -> None:
    with pytest.raises(RlidimError, match="ARS cannot be confined: it has no acting network"):
        confine(contrib.ARS("MlpPolicy", "CartPole-v1", device="cpu"), d=4)
