"""MinAtar's games are MinAtar's own, whichever form plays them, and train a small network."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minatar.gym import BaseEnv

from rlidim.environments import making
from rlidim.environments.arena import Arena, evaluate
from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.networks.acting import architecture
from rlidim.networks.atari import PixelArchitecture
from rlidim.networks.dimension import native_dimension
from rlidim.records.cell import Cell, Seeds
from rlidim.records.folder import Results
from rlidim.solutions import playback
from rlidim.tasks.loading import load_task
from rlidim.tasks.problems import MINATAR_GAMES, Evaluation, MinAtar, PixelNetwork
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.run import check_served
from rlidim.trainers.sb3.train import side_by_side
from tests.factory import make_task

SIZES = {"breakout": 132_179, "seaquest": 133_430}  # of MinAtar's network, its outputs' too


def task_of(game: str = "breakout", batch_norm: bool = False, **changes: Any) -> Task:
    return make_task(
        environment=MinAtar(game, **changes),
        network=PixelNetwork("minatar", batch_norm=batch_norm),
        evaluation=Evaluation(episodes=3, checkpoint_episodes=2),
        trainers={
            "es": TRAINERS["es"](n_timesteps=200, population=4),  # type: ignore[call-arg]
            "ppo": TRAINERS["ppo"](n_timesteps=128, n_envs=4, n_steps=16, batch_size=32),  # type: ignore[call-arg]
            "dqn": TRAINERS["dqn"](n_timesteps=150, learning_starts=100, buffer_size=99),  # type: ignore[call-arg]
        },
    )


def test_a_file_may_name_one(tmp_path: Path) -> None:
    file = tmp_path / "small.yml"
    rest = "title: x\ntrainers: {es: {n_timesteps: 9}}\nenvironment: "
    network = "\nnetwork: {architecture: minatar}\n"
    file.write_text(f"{rest}{{minatar: asterix}}{network}")
    assert load_task(file).control.environment == MinAtar("asterix")
    file.write_text(f"{rest}{{minatar: astrix}}{network}")
    with pytest.raises(RlidimError, match=r"unknown game 'astrix' .did you mean 'asterix'"):
        load_task(file)
    for other in ("architecture: nature", "hidden: [4]"):
        file.write_text(f"{rest}{{minatar: asterix}}\nnetwork: {{{other}}}\n")
        with pytest.raises(RlidimError, match=r"network: .*(nature|one of MinAtar minatar)"):
            load_task(file)


@pytest.mark.parametrize("trainer", ["sac", "td3", "ddpg", "tqc", "crossq", "recurrent_ppo"])
def test_a_trainer_of_no_frames_is_refused_before_a_run(trainer: str) -> None:
    settings = TRAINERS[trainer](n_timesteps=200)  # type: ignore[call-arg]
    task = replace(task_of(), trainers={trainer: settings})
    with pytest.raises(RlidimError, match=f"{trainer} trains no network on frames"):
        check_served(task, trainer)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minatar", None)
    with pytest.raises(RlidimError, match=r"pip install 'rlidim\[minatar\]'"):
        making.check(task_of())


@pytest.mark.parametrize("game", MINATAR_GAMES)
def test_a_game_is_minatar_s_own(game: str) -> None:
    own: Any = BaseEnv(game, use_minimal_action_set=True)
    task = task_of(game, max_episode_steps=5_000)  # more than any of them takes
    observed, acted = making.own_spaces_of(task)
    assert observed == own.observation_space
    assert acted == own.action_space
    ours = making.make(task)
    generator = np.random.default_rng(0)
    for seed in (3, 4):
        seen, _ = own.reset(seed=seed)
        own.game.last_action = 0  # of the episode before
        plain, _ = ours.reset(seed=seed)
        over = False
        while not over:
            np.testing.assert_array_equal(np.moveaxis(plain, 0, -1), seen)
            action = int(generator.integers(acted.n))  # type: ignore[attr-defined]
            seen, earned, over, *_ = own.step(action)
            plain, reward, ended, cut, _ = ours.step(action)
            assert (reward, ended, cut) == (earned, over, False)


def test_episodes_are_their_seeds_in_every_form() -> None:
    task = task_of("asterix", max_episode_steps=40)
    rows, vector = making.make_rows(task, 3), making.make_seeded_vector(task, 3)
    assert vector is not None
    lone = [making.make(task) for _ in range(3)]
    seeds = [2**32 + 7, 1, 5]
    first = np.stack([game.reset(seed=seed)[0] for game, seed in zip(lone, seeds, strict=True)])
    np.testing.assert_array_equal(vector.reset(seed=seeds)[0], first)  # type: ignore[arg-type]
    np.testing.assert_array_equal(rows.reset(seeds), first.reshape(3, -1))
    generator = np.random.default_rng(0)
    active, ends = np.arange(3), 0
    for _ in range(130):
        actions = generator.integers(5, size=3)
        observations, rewards, ended, cut, info = vector.step(actions)
        if len(active):
            flat, earned, over = rows.step(active, actions[active])
            for place, seen, reward in zip(active, flat, earned, strict=True):
                shown = info["final_obs"] if (ended | cut)[place] else observations
                np.testing.assert_array_equal(seen, shown[place].ravel())
                assert reward == rewards[place]
            np.testing.assert_array_equal(over, (ended | cut)[active])
            active = active[~over]
        for place, game in enumerate(lone):
            seen, reward, over, late, _ = game.step(actions[place])
            assert (reward, over, late) == (rewards[place], ended[place], cut[place])
            if over or late:
                np.testing.assert_array_equal(info["final_obs"][place], seen)
                seen, _ = game.reset()
                ends += 1
            np.testing.assert_array_equal(observations[place], seen)
    assert ends > 5


def test_an_episode_is_cut_at_the_limit() -> None:
    env = side_by_side(task_of("freeway", max_episode_steps=7), 4, seed=0)
    env.reset()
    for step in range(1, 15):
        _, _, dones, infos = env.step(np.zeros(4, dtype=np.int64))
        assert dones.tolist() == [step % 7 == 0] * 4
    assert infos[0]["TimeLimit.truncated"] is True
    env.close()


@pytest.mark.parametrize("game", SIZES)
def test_the_network_is_minatar_s(game: str) -> None:
    network = architecture(task_of(game))
    assert isinstance(network, PixelArchitecture)
    assert SIZES[game] == network.D
    layers = making.spaces_of(task_of(game))[0].shape[0]  # type: ignore[index]
    assert network.shapes[:4] == [(16, layers, 3, 3), (16,), (128, 1024), (128,)]


def test_a_population_plays_as_its_members_do() -> None:
    task = task_of("space_invaders", batch_norm=True, max_episode_steps=60)
    network = architecture(task, seed=1)
    members = np.stack([network.initial_parameters(seed) for seed in range(3)])
    arena, alone = Arena(task, 3), Arena(task, 1)
    together = arena.play(network.policy(members), seed=9).returns
    apart = [
        alone.play(network.policy(row), seed=9, members=np.array([place])).mean
        for place, row in enumerate(members)
    ]
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize("trainer", ["es", "ppo", "dqn"])
def test_a_run_and_its_record(trainer: str, tmp_path: Path) -> None:
    task = task_of(max_episode_steps=30)
    cell = Cell(task.name, trainer, "rademacher", 3, 0)
    record = run(Job(task, cell, tmp_path))
    assert record is not None
    assert record.status == "ok", record.error
    assert record.D == native_dimension(task) == SIZES["breakout"]
    path = Results(tmp_path).path(cell)
    policy = playback.policy_of(record, path, tmp_path)
    played = evaluate(task, policy, 3, Seeds.of(cell).evaluation)
    np.testing.assert_array_equal(played.returns, record.returns)
    video = tmp_path / "small.gif"
    playback.play(task, path, video=video, episodes=1, seed=0, log_dir=tmp_path)
    assert video.stat().st_size > 0
