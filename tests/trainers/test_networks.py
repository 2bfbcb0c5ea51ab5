"""Acting networks: the paper's sizes, and three ways to evaluate one that agree."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlidim.errors import RlidimError
from rlidim.networks.perceptron import Architecture, Policy
from rlidim.projections import cpp_kernels
from rlidim.tasks.problems import Network


def architecture(**changes: object) -> Architecture:
    values = {"hidden": (20, 20), "activation": "relu", **changes}
    return Architecture.of(Network(**values), spaces.Box(-1, 1, (4,)), spaces.Discrete(2))


def test_the_papers_cartpole_network_has_562_parameters() -> None:
    assert architecture().D == 562


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_numpy_population_and_torch_agree(activation: str) -> None:
    network = dataclasses.replace(
        architecture(activation=activation),
        observation_mean=(0.1, -0.2, 0.3, 0.0),
        observation_variance=(1.0, 4.0, 0.25, 2.0),
    )
    rng = np.random.default_rng(0)
    members = rng.normal(size=(6, network.D)).astype(np.float32)
    observations = rng.normal(size=(6, 4)).astype(np.float32)
    together = Policy(network, members).outputs(observations)
    normalised = (observations - network.observation_mean) / np.sqrt(network.observation_variance)
    for index, member in enumerate(members):
        row = observations[index : index + 1]
        alone = Policy(network, member).outputs(row)[0]
        np.testing.assert_allclose(together[index], alone, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            module = network.module(member)
            theirs = module(torch.tensor(normalised[index], dtype=torch.float32)).numpy()
        np.testing.assert_allclose(alone, theirs, rtol=1e-4, atol=1e-4)
    chosen = Policy(network, members).select(np.array([4, 1]))
    np.testing.assert_allclose(chosen.outputs(observations[[4, 1]]), together[[4, 1]])


def test_networks_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    network = architecture()
    rng = np.random.default_rng(0)
    members = rng.normal(size=(70, network.D)).astype(np.float32)
    observations = rng.normal(size=(70, 4))
    expected = Policy(network, members).outputs(observations)
    monkeypatch.setattr(cpp_kernels, "MISSING", "not built")
    found = Policy(network, members).outputs(observations)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_a_policy_answered_stays() -> None:
    """Its networks write to one place; callers have copies."""
    network = architecture()
    members = np.random.default_rng(0).normal(size=(3, network.D)).astype(np.float32)
    policy = Policy(network, members)
    outputs, actions = policy.outputs(np.ones((3, 4))), policy.act(np.ones((3, 4)))
    before = outputs.copy(), actions.copy()
    policy.act(-np.ones((3, 4)))
    np.testing.assert_array_equal(outputs, before[0])
    np.testing.assert_array_equal(actions, before[1])
    again = pickle.loads(pickle.dumps(policy))
    np.testing.assert_array_equal(again.outputs(np.ones((3, 4))), outputs)
    some = again.select(np.array([2, 0])).outputs(np.ones((2, 4)))
    np.testing.assert_array_equal(some, outputs[[2, 0]])


def test_actions() -> None:
    box = spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, 1.0]), dtype=np.float64)
    outputs = np.array([[-9.0, -9.0], [0.0, 0.0], [9.0, 9.0]], dtype=np.float32)
    network = Network(hidden=())
    for squash in (False, True):
        shape = Architecture.of(network, spaces.Box(-1, 1, (3,)), box, squash=squash)
        actions = Policy(shape, np.zeros(shape.D, np.float32)).to_actions(outputs)
        middle = [0.0, 0.5] if squash else [0.0, 0.0]
        np.testing.assert_allclose(actions, [[-2, 0], middle, [2, 1]], atol=1e-5)


@pytest.mark.parametrize("initialisation", ["he_normal", "orthogonal"])
def test_theta_0_is_a_function_of_its_seed(initialisation: str) -> None:
    network = architecture(initialisation=initialisation, hidden=(200, 200))
    first, same, other = (network.initial_parameters(seed) for seed in (1, 1, 2))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    weights = network.unflatten(first)
    assert not weights[1].any()  # biases start at zero
    hidden = weights[2].astype(np.float64)
    if initialisation == "orthogonal":
        np.testing.assert_allclose(hidden @ hidden.T, 2 * np.eye(200), atol=1e-4)
    else:
        assert hidden.std() == pytest.approx(np.sqrt(2 / 200), rel=0.02)
        assert abs(hidden).max() <= 2.28 * np.sqrt(2 / 200)


def test_spaces_that_do_not_fit_are_named() -> None:
    box = spaces.Box(-1, 1, (4,))
    with pytest.raises(RlidimError, match="must be a Box"):
        Architecture.of(Network(hidden=()), spaces.Discrete(3), spaces.Discrete(2))
    with pytest.raises(RlidimError, match="MultiBinary or a Box"):
        Architecture.of(Network(hidden=()), box, spaces.Text(2))
    with pytest.raises(RlidimError, match="does not fit a network of 562"):
        Policy(architecture(), np.zeros(561, np.float32))
    with pytest.raises(RlidimError, match="not the description of a network"):
        Architecture.from_json({"width": 3})
    assert Architecture.from_json(architecture().to_json()) == architecture()
