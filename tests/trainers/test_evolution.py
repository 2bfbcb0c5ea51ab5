"""Evolution strategies find what they must, within the subspace, the same twice."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.records.record import Outcome
from rlidim.speed.evolution import scaling, throughput
from rlidim.tasks.names import find_task
from rlidim.tasks.settings import TRAINERS as TRAINERS_SETTINGS
from rlidim.trainers.evolution.cma_es import CovarianceAdaptation
from rlidim.trainers.evolution.openai_es import centred_ranks
from rlidim.trainers.evolution.population import Space, begin
from rlidim.trainers.evolution.searches import Search
from rlidim.trainers.evolution.train import train
from rlidim.trainers.run import Run
from tests.factory import make_task
from tests.marks import slow_but

TRAINERS = ["es", "ars", "cmaes", "sepcmaes"]
FOLLOWERS = ("es", "ars")  # which go nowhere where nothing is to be followed


def search_of(trainer: str, n: int, **changes: Any) -> Search:
    settings = TRAINERS_SETTINGS[trainer](n_timesteps=1, **changes)  # type: ignore[call-arg]
    task = make_task(trainers={trainer: settings})
    return begin(task, trainer, n, 1.0, seed=1)


def run(task: str, trainer: str, d: int | None, seed: int = 0, **settings: Any) -> Outcome:
    found = find_task(task)
    if trainer not in found.trainers:
        own = TRAINERS_SETTINGS[trainer](n_timesteps=300_000)  # type: ignore[call-arg]
        found = dataclasses.replace(found, trainers={**found.trainers, trainer: own})
    if settings:
        found = found.replace_settings(trainer, settings)
    cell = Cell(task, trainer, "native" if d is None else "rademacher", d, seed)
    return train(Run(found, cell, Seeds.of(cell)))


def test_ars_follows_its_best_directions() -> None:
    """As by hand: of three pairs the two whose better member earned most."""
    search = search_of("ars", 4, population=6, n_top=2, sigma=0.5, learning_rate=0.3)
    points = search.ask()
    noise = points[:3] / (0.5 / 2)  # |theta_0| is 1, and sqrt(n) 2
    returns = np.array([5.0, 1.0, 2.0, 0.0, 1.5, 7.0])
    search.tell(returns)
    used = np.array([5.0, 0.0, 2.0, 7.0])  # of pairs 0 and 2
    expected = ((5.0 - 0.0) * noise[0] + (2.0 - 7.0) * noise[2]) / (2 * used.std())
    np.testing.assert_allclose(search.mean, 0.3 / 2 * expected, rtol=1e-12)
    with pytest.raises(RlidimError, match="n_top must be at most half the population, 3, got 4"):
        search_of("ars", 4, population=6, n_top=4)


def test_separable_cma_es_learns_a_variance_for_each_coordinate_alone() -> None:
    """On a quadratic along the axes they become the inverse of its scales."""
    scales = np.logspace(0, 2, 30)
    search = search_of("sepcmaes", 30)
    assert isinstance(search, CovarianceAdaptation)
    for _ in range(300):
        points = search.ask()
        search.tell(-np.square(scales * (points - 0.1)).sum(1))
    assert np.abs(search.mean - 0.1).max() < 1e-3
    adapted = np.log(np.asarray(search._inner.sigma_vec.scaling) * scales)
    assert np.ptp(adapted) < 1.0 < np.ptp(np.log(scales)) - 3.0
    assert not hasattr(search._inner.sm, "C")  # no matrix


def test_centred_ranks() -> None:
    ranks = centred_ranks(np.array([10.0, -3.0, 99.0]))
    np.testing.assert_allclose(ranks, [0.0, -0.5, 0.5])
    np.testing.assert_allclose(centred_ranks(np.array([1.0, 1.0, 1.0])), 0.0)
    np.testing.assert_allclose(centred_ranks(np.array([1.0, 1.0, 2.0])), [-0.25, -0.25, 0.5])


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("n", [1, 2, 10])
def test_a_quadratic_is_minimised(trainer: str, n: int) -> None:
    target = 0.3 * np.ones(n) / np.sqrt(n)
    search = search_of(trainer, n)
    for _ in range(400):
        points = search.ask()
        assert points.shape[1] == n
        search.tell(-np.square(points - target).sum(1))
    assert np.linalg.norm(search.mean - target) < 0.1


def test_perturbations_are_antithetic() -> None:
    points = search_of("es", 5).ask()
    half = len(points) // 2
    np.testing.assert_allclose(points[:half] + points[half:], 0.0, atol=1e-12)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_nothing_to_follow_moves_nothing_far(trainer: str) -> None:
    """Equal returns carry no information: the mean must not drift away."""
    search = search_of(trainer, 4)
    for _ in range(20):
        search.tell(np.zeros(len(search.ask())))
    assert np.linalg.norm(search.mean) < (1e-9 if trainer in FOLLOWERS else 3.0)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_runs_repeat_and_stay_in_the_subspace(trainer: str) -> None:
    first = run("cartpole", trainer, 4, n_timesteps=20_000)
    same = run("cartpole", trainer, 4, n_timesteps=20_000)
    other = run("cartpole", trainer, 4, seed=1, n_timesteps=20_000)
    assert first.theta_d is not None
    assert same.theta_d is not None
    np.testing.assert_array_equal(first.theta_d, same.theta_d)
    assert first.returns == same.returns
    assert first.curve == same.curve
    assert first.returns != other.returns
    assert first.theta_d.shape == (4,)
    assert first.theta is None
    assert first.D == 562
    assert len(first.returns) == 100


@pytest.mark.parametrize("trainer", slow_but(["es", "cmaes"], TRAINERS))
def test_cartpole_is_solved(trainer: str) -> None:
    solved = [np.mean(run("cartpole", trainer, 25, seed).returns) > 450 for seed in range(3)]
    assert sum(solved) >= 2


@pytest.mark.parametrize("trainer", slow_but(["es", "cmaes"], TRAINERS))
def test_codimension_three_needs_three(trainer: str) -> None:
    below = np.mean(run("codimension-3", trainer, 2, n_timesteps=50_000).returns)
    at = np.mean(run("codimension-3", trainer, 3).returns)
    assert below < 0.9 < at


def test_native_runs_keep_all_parameters() -> None:
    outcome = run("codimension-1", "es", None, n_timesteps=2_000)
    assert outcome.theta_d is None
    assert outcome.spec is None
    assert outcome.theta is not None
    assert outcome.theta.shape == (outcome.D,)


def test_the_space_is_affine() -> None:
    architecture = Architecture(4, 2, (20, 20), "relu", "he_normal", 1.0, "argmax")
    cell = Cell("cartpole", "es", "gaussian", 6, 0)
    space = Space(architecture, cell, Seeds.of(cell))
    assert space.P is not None
    points = np.random.default_rng(0).normal(size=(3, 6))
    expected = space.theta_0 + points @ space.P.to_dense().numpy().T
    np.testing.assert_allclose(space.parameters(points), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(space.parameters(points[1]), expected[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(space.parameters(np.zeros(6)), space.theta_0)


def test_d_beyond_the_network_is_named() -> None:
    with pytest.raises(RlidimError, match="between 1 and D = 562, got 563"):
        run("cartpole", "es", 563)


def test_scaling_reports_the_pair() -> None:
    figures = scaling(
        find_task("inverted-pendulum"),
        "es",
        projection="rademacher",
        d=8,
        processes=2,
        seconds=0.1,
    )
    assert figures["processes"] == 2
    assert figures["steps_per_second_split"] > 0
    assert figures["split_repeats"] >= 3
    low, high = figures["times_one_process_quartiles"]
    assert 0 < low <= figures["times_one_process"] <= high


def test_throughput_reports_the_pair() -> None:
    figures = throughput(find_task("cartpole"), "cmaes", projection="rademacher", d=8, seconds=0.2)
    ours, raw = figures["steps_per_second"], figures["raw_environment_steps_per_second"]
    assert figures["D"] == 562
    assert ours > 0
    assert raw > 0
    low, high = figures["fraction_of_raw_quartiles"]
    assert 0 < low <= figures["fraction_of_raw"] <= high
    assert figures["fraction_of_raw"] == pytest.approx(ours / raw)


@pytest.mark.parametrize("trainer", ["es", "cmaes"])
def test_parameters_beyond_float32_end_a_run_as_diverged(trainer: str) -> None:
    steps = {"es": {"sigma": 1e38}, "cmaes": {"sigma0": 1e38}}[trainer]
    outcome = run("cartpole", trainer, 3, population=4, n_timesteps=2_000, eval_freq=1, **steps)
    assert outcome.status == "diverged"
    assert outcome.returns == ()
