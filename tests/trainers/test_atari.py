"""Atari: the games behind SB3's contract, the networks on frames, and runs on them."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import VecEnv

from rlidim.environments import arena, atari
from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.networks import acting
from rlidim.networks import atari as atari_networks
from rlidim.networks.atari import PixelArchitecture
from rlidim.records.cell import Cell, Seeds
from rlidim.records.folder import Results
from rlidim.solutions import playback
from rlidim.speed.atari import rates
from rlidim.tasks.loading import load_task
from rlidim.tasks.names import Variant, find_task, split_name
from rlidim.tasks.problems import Atari, Evaluation, PixelNetwork
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.evolution import workers
from rlidim.trainers.evolution.population import Generation, Player, Population
from rlidim.trainers.run import Run
from rlidim.trainers.sb3.atari import AtariVecEnv
from rlidim.trainers.sb3.train import train
from tests.factory import make_task
from tests.marks import slow_but

ROOT = Path(__file__).parents[2]
FRAMES = (4, 84, 84)
SHORT: dict[str, dict[str, Any]] = {
    "ppo": {"n_timesteps": 64, "n_envs": 2, "n_steps": 16, "batch_size": 16, "n_epochs": 1},
    "dqn": {"n_timesteps": 96, "learning_starts": 32, "buffer_size": 100, "batch_size": 8},
    "es": {"n_timesteps": 200, "population": 4},
}


def game_task(trainer: str, network: str = "paper", **changes: Any) -> Task:
    return make_task(
        environment=Atari("pong", max_frames=240),
        network=PixelNetwork(network, batch_norm=network == "paper"),
        evaluation=Evaluation(episodes=3, checkpoint_episodes=2, minimum=-21),
        trainers={trainer: TRAINERS[trainer](**{**SHORT[trainer], **changes})},
    )


def architecture(network: str = "paper", **changes: Any) -> PixelArchitecture:
    found = PixelArchitecture.of(PixelNetwork(network, batch_norm=network == "paper"), FRAMES, 6)
    return dataclasses.replace(found, **changes)


def frames(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, *FRAMES), dtype=np.uint8)


# --- the games ------------------------------------------------------------------------------------


def play(games: VecEnv, steps: int, seed: int = 0) -> list[tuple[Any, ...]]:
    generator = np.random.default_rng(seed)
    space: Any = games.action_space
    return [
        (actions, *games.step(actions))
        for actions in generator.integers(space.n, size=(steps, games.num_envs))
    ]


def test_a_seed_makes_the_same_games_whatever_is_beside_them() -> None:
    sticky = Atari("pong", repeat_action_probability=0.25)
    found = []
    for width, threads in ((4, 1), (4, 2), (2, 1)):
        games = atari.make(sticky, width, threads=threads)
        games.reset(seed=7)
        actions = np.random.default_rng(0).integers(6, size=(50, 4))
        found.append([games.step(row[:width])[0][:2].copy() for row in actions])
        games.close()
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_the_picture_shows_the_same_game() -> None:
    game = Atari("pong")
    seen, shown = atari.make(game, 1), atari.make(game, 1, picture=True)
    seen.reset(seed=3)
    picture, _ = shown.reset(seed=3)
    assert picture.shape == (1, 1, *atari.SCREEN, 3)
    rewards: list[list[float]] = [[], []]
    for action in np.random.default_rng(0).integers(6, size=400):
        for games, earned in zip((seen, shown), rewards, strict=True):
            earned.append(float(games.step(np.array([action]))[1][0]))
    assert rewards[0] == rewards[1]
    assert min(rewards[0]) < 0  # somebody scored, or the comparison says little


def test_training_sees_signs_and_the_statistics_whole_games() -> None:
    games = AtariVecEnv(Atari("ms_pacman", max_frames=1200), 2)
    games.seed(0)
    games.reset()
    earned = np.zeros(2)
    unclipped = atari.make(Atari("ms_pacman", max_frames=1200), 2)
    unclipped.reset(seed=0)
    episodes, raw, over = [], np.zeros(2), np.zeros(2, dtype=bool)
    for actions, _, rewards, _, infos in play(games, 310):
        assert set(np.unique(rewards)) <= {-1.0, 0.0, 1.0}
        earned += rewards
        _, points, terminated, truncated, _ = unclipped.step(actions)
        raw += np.where(over, 0, points)
        over |= terminated | truncated
        episodes += [info["episode"] for info in infos if "episode" in info]
    assert over.all()
    assert sorted(episode["r"] for episode in episodes[:2]) == sorted(raw.tolist())
    assert raw.sum() > earned.sum()  # dots are worth ten points


def test_a_lost_life_ends_an_episode_and_not_the_game() -> None:
    games = AtariVecEnv(Atari("breakout", max_frames=4000), 2)
    games.seed(1)
    games.reset()
    lives, whole = 0, 0
    for _, _, _, dones, infos in play(games, 600):
        for done, info in zip(dones, infos, strict=True):
            assert ("terminal_observation" in info) == bool(done)
            lives += bool(done) and "episode" not in info
            whole += "episode" in info
    assert whole > 0
    assert lives == pytest.approx(4 * whole, abs=8)  # the fifth ends the game

    games = AtariVecEnv(Atari("breakout", max_frames=4000, terminal_on_life_loss=False), 2)
    games.seed(1)
    games.reset()
    for _, _, _, dones, infos in play(games, 600):
        assert [bool(done) for done in dones] == ["episode" in info for info in infos]


def test_what_a_lost_life_led_to_is_the_next_frame() -> None:
    games = AtariVecEnv(Atari("breakout"), 1)
    games.seed(1)
    games.reset()
    lost = 0
    for _, observations, _, dones, infos in play(games, 300):
        if dones[0] and "episode" not in infos[0]:
            lost += 1
            np.testing.assert_array_equal(infos[0]["terminal_observation"], observations[0])
        elif dones[0]:  # of a game that is over it is the last frame, not the next game's first
            assert not np.array_equal(infos[0]["terminal_observation"], observations[0])
    assert lost > 0


def test_the_games_have_the_attributes_that_they_have() -> None:
    games = AtariVecEnv(Atari("pong"), 2)
    assert games.get_attr("num_envs") == [2, 2]
    assert not games.has_attr("nothing")
    games.close()


def test_a_game_cut_off_by_its_frames_is_truncated() -> None:
    games = AtariVecEnv(Atari("pong", max_frames=200, noop_max=0), 1)
    games.seed(0)
    first = games.reset()
    (final,) = [step for step in play(games, 60) if step[3][0]][:1]
    _, observation, _, _, (info,) = final
    assert info["TimeLimit.truncated"]
    assert info["episode"]["l"] == pytest.approx(50, abs=3)
    assert info["terminal_observation"].shape == FRAMES
    assert not np.array_equal(info["terminal_observation"], observation[0])
    assert observation.shape == first.shape


def test_seeds_are_kept_from_run_to_run_and_differ_within_one() -> None:
    def begin(seed: int) -> np.ndarray:
        games = AtariVecEnv(Atari("pong"), 2)
        games.seed(seed)
        return np.concatenate([games.reset()] + [step[1] for step in play(games, 80)])

    np.testing.assert_array_equal(begin(5), begin(5))
    assert not np.array_equal(begin(5), begin(6))


def test_rates_are_pairs_of_one_process() -> None:
    figures = rates(Atari("pong", max_frames=400), 2, steps=200, repeats=2)
    assert figures["environments"] == 2
    ways = {"emulator", "gymnasium"}
    # OpenCV comes with Stable-Baselines3's own extras; of ours, with the developers' alone.
    if find_spec("cv2") is not None:
        ways.add("stable_baselines3")
    for way in ways:
        assert figures[f"{way}_agent_steps_per_second"] > 0
        low, high = figures[f"ours_over_{way}_quartiles"]
        assert 0 < low <= figures[f"ours_over_{way}"] <= high
        assert figures[f"ours_over_{way}"] == pytest.approx(
            figures["ours_agent_steps_per_second"] / figures[f"{way}_agent_steps_per_second"]
        )
    assert {name for name in figures if name.startswith("ours_over_")} == {
        f"ours_over_{way}{what}" for way in ways for what in ("", "_quartiles", "_pairs")
    }


def test_a_game_that_stable_baselines_lacks_is_timed_without_it() -> None:
    figures = rates(Atari("tic_tac_toe_3d", max_frames=400), 2, steps=40, repeats=1)
    assert figures["ours_over_gymnasium"] > 0
    assert "ours_over_stable_baselines3" not in figures


# --- the networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "D"), [("paper", 1_005_974), ("nature", 1_687_206)])
def test_the_networks_have_their_size(network: str, D: int) -> None:
    assert architecture(network).D == D


def test_the_paper_s_network_is_what_its_formula_says() -> None:
    reference = frames(16)
    about = architecture(reference=reference)
    theta = about.initial_parameters(0)
    generator = np.random.default_rng(1)
    theta = theta + 0.01 * generator.standard_normal(theta.size).astype(np.float32)
    policy = about.policy(theta)
    parts, start = [], 0
    for shape in about.shapes:
        size = int(np.prod(shape))
        parts.append(torch.from_numpy(theta[start : start + size].reshape(shape)).double())
        start += size

    def convolve(x: Any, weight: Any, bias: Any, stride: int) -> Any:
        # TensorFlow's SAME: as many outputs as strides fit, the odd zero at the end.
        size, kernel = x.shape[-1], weight.shape[-1]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        before, after = total // 2, total - total // 2
        padded = torch.nn.functional.pad(x, (before, after, before, after))
        return torch.nn.functional.conv2d(padded, weight, bias, stride)

    def normalise(x: Any, of: Any, scale: Any, shift: Any) -> Any:
        axes = [0, *range(2, of.dim())]
        mean, variance = of.mean(axes, keepdim=True), of.var(axes, correction=0, keepdim=True)
        view = (1, -1) + (1,) * (x.dim() - 2)
        ratio = (x - mean) / torch.sqrt(variance + atari_networks.EPSILON)
        return torch.relu(ratio * scale.view(view) + shift.view(view))

    x, of = (torch.from_numpy(batch).double() / 255 for batch in (frames(5, 2), reference))
    for layer, stride in ((0, 4), (1, 2)):
        weight, bias, scale, shift = parts[4 * layer : 4 * layer + 4]
        x, of = convolve(x, weight, bias, stride), convolve(of, weight, bias, stride)
        x, of = normalise(x, of, scale, shift), normalise(of, of, scale, shift)
    weight, bias, scale, shift = parts[8:12]
    x, of = x.flatten(1) @ weight.T + bias, of.flatten(1) @ weight.T + bias
    x = normalise(x, of, scale, shift)
    expected = x @ parts[12].T + parts[13]
    np.testing.assert_allclose(policy.outputs(frames(5, 2)), expected.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("network", ["paper", "nature"])
def test_an_answer_does_not_depend_on_its_neighbours(network: str) -> None:
    about = architecture(network, reference=frames(8))
    policy = about.policy(about.initial_parameters(0))
    batch = frames(40, 1)
    whole = policy.outputs(batch)
    np.testing.assert_array_equal(policy.outputs(batch[::-1])[::-1], whole)
    np.testing.assert_array_equal(policy.outputs(batch[37:38]), whole[37:38])


@pytest.mark.parametrize("network", ["paper", "nature"])
def test_a_population_answers_as_its_members(network: str) -> None:
    about = architecture(network, reference=frames(8))
    theta = np.stack([about.initial_parameters(seed) for seed in range(3)])
    batch = frames(3, 1)
    together = about.policy(theta)
    alone = [about.policy(row).outputs(batch[i : i + 1])[0] for i, row in enumerate(theta)]
    np.testing.assert_allclose(together.outputs(batch), alone, rtol=1e-3, atol=1e-5)
    chosen = together.select(np.array([2, 0]))
    np.testing.assert_array_equal(chosen.outputs(batch[[2, 0]]), together.outputs(batch)[[2, 0]])


def test_building_a_policy_draws_no_random_numbers() -> None:
    about = architecture(reference=frames(4))
    before = torch.get_rng_state()
    about.policy(about.initial_parameters(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_policy_s_statistics_travel_with_it() -> None:
    about = architecture(reference=frames(16))
    theta = about.initial_parameters(0)
    policy = about.policy(theta)
    again = acting.architecture_of(policy.architecture.to_json())
    assert isinstance(again, PixelArchitecture)
    assert again.reference is None
    np.testing.assert_allclose(
        again.policy(theta).outputs(frames(3)), policy.outputs(frames(3)), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(RlidimError, match="neither statistics nor a reference"):
        architecture().policy(theta)
    wrong = dataclasses.replace(again, means=(0.0,), variances=(1.0,))
    with pytest.raises(RlidimError, match="normalises"):
        wrong.policy(theta)


# --- runs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trainer", "network"),
    [pytest.param("ppo", "paper", marks=pytest.mark.slow), ("dqn", "nature")],
)
def test_a_subspace_s_run_stays_in_it(trainer: str, network: str) -> None:
    task = game_task(trainer, network)
    cell = Cell(task.name, trainer, "rademacher", 5, 0)
    outcome = train(Run(task, cell, Seeds.of(cell)))
    assert outcome.status == "ok"
    assert outcome.D == architecture(network).D
    assert len(outcome.returns) == 3
    assert outcome.theta_d is not None
    assert outcome.theta_d.shape == (5,)


@pytest.mark.parametrize(
    "trainer",
    slow_but([], SHORT),
)
def test_a_run_is_the_same_twice_and_its_record_plays(trainer: str, tmp_path: Path) -> None:
    task = game_task(trainer)
    cell = Cell(task.name, trainer, "rotation", 4, 0)
    first = run(Job(task, cell, tmp_path / "first"))
    second = run(Job(task, cell, tmp_path / "second"))
    assert first is not None
    assert second is not None
    assert first.status == "ok", first.error
    assert first.same_result(second)
    path = Results(tmp_path / "first").path(cell)
    policy = playback.policy_of(first, path, tmp_path)
    played = arena.evaluate(task, policy, 3, Seeds.of(cell).evaluation)
    assert tuple(played.returns.tolist()) == first.returns


ELSEWHERE = """
import sys
from pathlib import Path

import numpy as np

from rlidim.environments import atari
from rlidim.records.folder import read_record
from rlidim.solutions import playback
from rlidim.tasks.problems import Atari

assert list(Path().iterdir()) == [Path("record.json")]
policy = playback.policy_of(read_record(Path("record.json")), Path("record.json"), Path("none"))
games = atari.make(Atari("pong"), 2)
observations, _ = games.reset(seed=5)
actions = []
for _ in range(150):
    actions.append(policy.act(observations))
    observations, *_ = games.step(actions[-1])
sys.stdout.buffer.write(np.array(actions, np.int64).tobytes())
"""


@pytest.mark.slow
def test_a_solution_of_thousands_of_numbers_plays_the_same_game_in_another_process(
    tmp_path: Path,
) -> None:
    """All that it is told is the record: 40 kB for a network of a million parameters."""
    record = ROOT / "results" / "pong" / "ppo-stacked_fastfood" / "d4096-s0.json"
    assert record.stat().st_size < 50_000
    shutil.copy(record, tmp_path / "record.json")
    played = [
        subprocess.run(
            [sys.executable, "-c", ELSEWHERE],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    ]
    actions = np.frombuffer(played[0], np.int64)
    assert len(actions) == 300
    assert len(set(actions.tolist())) > 2
    assert played[0] == played[1]


@pytest.mark.slow
def test_evolution_scores_a_policy_with_its_own_statistics(tmp_path: Path) -> None:
    task = game_task("es")
    record = run(Job(task, Cell(task.name, "es", "rotation", 4, 0), tmp_path))
    assert record is not None
    assert record.solution is not None
    assert len(record.solution["network"]["means"]) == 16 + 32 + 256


@pytest.mark.slow
def test_a_generation_split_over_processes_is_the_same_and_sends_no_frames() -> None:
    task = game_task("es")
    cell = Cell(task.name, "es", "rotation", 4, 0)
    seeds = Seeds.of(cell)
    player = Player(task, cell, seeds)
    generation = Generation(0, seeds.training)
    points = player.search.ask()
    alone = player.play(generation, points, np.arange(4))
    with Population(player, 4, workers.start(task, cell, seeds, 1)) as split_name:
        both = split_name.play(generation, points)
    np.testing.assert_array_equal(both.returns, alone.returns)
    assert both.steps == alone.steps
    assert len(pickle.dumps((generation, points))) < 1_000


# --- what users do wrong --------------------------------------------------------------------------


def test_games_are_named() -> None:
    with pytest.raises(
        RlidimError, match=r"unknown Atari game for one player: .pongg. \(did you mean .pong."
    ):
        atari.check(Atari("pongg"))
    with pytest.raises(RlidimError, match=r"unknown Atari game for one player: .joust."):
        atari.check(Atari("joust"))
    with pytest.raises(RlidimError, match="name one, as in rlidim atari --game seaquest"):
        atari.check(Atari(None))


def test_any_game_has_a_name_of_its_own() -> None:
    task = find_task("atari-seaquest")
    assert task.name == "atari-seaquest"
    assert task.control.environment == Atari("seaquest")
    assert split_name("atari-seaquest", ["atari", "pong"]) == Variant("atari", game="seaquest")
    with pytest.raises(RlidimError, match="task 'pong' has no choice of games"):
        find_task("pong").variant(game="seaquest")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("{architecture: paper, batch_norm: true}", "{hidden: [8]}", "an Atari game has an arch"),
        ("{architecture: paper, batch_norm: true}", "{architecture: papr}", "did you mean 'paper'"),
        ("{game: pong}", "{id: CartPole-v1}", "any other environment hidden"),
        ("{game: pong}", "{game: pong, frameskip: 4}", "did you mean 'frame_skip'"),
        ("{game: pong}", "{game: pong, frame_skip: 0}", "frame_skip must be at least 1"),
        ("n_envs: 16", "normalize: true", "a game's frames are as they are"),
    ],
)
def test_a_task_file_that_does_not_fit(old: str, new: str, expected: str, tmp_path: Path) -> None:
    content = find_task("pong").file.read_text()
    assert old in content
    path = tmp_path / "mine.yml"
    path.write_text(content.replace(old, new, 1))
    with pytest.raises(RlidimError, match=expected):
        load_task(path)


def test_a_population_in_one_call_answers_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does, on the CPU: other parameters and statistics for each member."""
    network = acting.architecture(find_task("pong"), seed=3)
    assert isinstance(network, PixelArchitecture)
    rows = np.stack([network.initial_parameters(seed) for seed in range(4)])
    frames = np.random.default_rng(0).integers(0, 256, (4, 4, 84, 84)).astype(np.uint8)
    alone = atari_networks.PixelPolicy(network, rows)
    expected = alone.outputs(frames)
    cpu, together = torch.device("cpu"), atari_networks.StackedNetworks
    monkeypatch.setattr(atari_networks, "device", lambda: torch.device("meta"))
    monkeypatch.setattr(
        atari_networks, "StackedNetworks", lambda networks, place: together(networks, cpu)
    )
    at_once = atari_networks.PixelPolicy(network, rows)
    np.testing.assert_allclose(at_once.outputs(frames), expected, rtol=1e-4, atol=1e-4)
    chosen = np.array([3, 1])
    found = at_once.select(chosen).outputs(frames[chosen])
    np.testing.assert_allclose(found, expected[chosen], rtol=1e-4, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.01, "the members were to differ"
