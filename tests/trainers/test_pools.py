"""EnvPool's environments are tasks like others; its package is too large for ``make install``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlidim.environments import making
from rlidim.environments.arena import Arena, evaluate
from rlidim.environments.unpainted import MODELS, unpainted
from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.networks.acting import architecture
from rlidim.networks.perceptron import Architecture, Policy
from rlidim.records.cell import Cell, Seeds
from rlidim.records.folder import Results
from rlidim.solutions import playback
from rlidim.tasks.loading import load_task
from rlidim.tasks.names import find_task, task_files
from rlidim.tasks.problems import Evaluation, Network, Pool
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.sb3.train import side_by_side
from tests.factory import make_task

EMPTY = "MiniGrid-Empty-Random-5x5-v0"
IDENTITIES = (EMPTY, "MiniGrid-DoorKey-5x5-v0", "highway-fast-v0", "parking-v0", "WalkerStand-v1")


def task_of(identity: str, **kwargs: Any) -> Task:
    return make_task(
        environment=Pool(identity, kwargs),
        network=Network(hidden=(8,)),
        evaluation=Evaluation(episodes=3, checkpoint_episodes=2),
        trainers={
            "es": TRAINERS["es"](n_timesteps=300, population=4),  # type: ignore[call-arg]
            "ppo": TRAINERS["ppo"](n_timesteps=128, n_envs=4, n_steps=16, batch_size=32),  # type: ignore[call-arg]
        },
    )


def test_a_file_may_name_one(tmp_path: Path) -> None:
    file = tmp_path / "grid.yml"
    rest = "title: x\nnetwork: {hidden: [4]}\ntrainers: {es: {n_timesteps: 9}}\n"
    file.write_text(f"{rest}environment: {{envpool: {EMPTY}}}\n")
    assert load_task(file).control.environment == Pool(EMPTY)
    file.write_text(f"{rest}environment: {{envpool: {EMPTY}, extra: x}}\n")
    with pytest.raises(RlidimError, match="environment: unknown key 'extra'"):
        load_task(file)


def test_a_suite_is_told_by_its_names() -> None:
    suites = {
        "MiniGrid-Unlock-v0": "minigrid",
        "highway-fast-v0": "highway",
        "parking-ActionRepeat-v0": "highway",
        "PointMassEasy-v1": "dm_control",
        "AcrobotSwingup-v1": "dm_control",
        "Acrobot-v1": "acrobot",
    }
    assert {name: Pool(name).family for name in suites} == suites


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(RlidimError, match=r"pip install 'rlidim\[envpool\]'"):
        making.spaces_of(task_of(EMPTY))


def test_models_lose_their_textures_and_are_kept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLIDIM_CACHE", str(tmp_path / "cache"))
    fresh = unpainted.__wrapped__  # as another process, which remembers nothing
    models = tmp_path / "assets" / MODELS
    (models / "common").mkdir(parents=True)
    sky = '<mujoco><texture name="sky" width="800" height="800"/><camera width="9"/></mujoco>'
    (models / "common" / "skybox.xml").write_text(sky)
    (models / "ball.stl").write_bytes(b"shape")
    made = fresh(str(tmp_path / "assets"))
    written = (Path(made) / MODELS / "common" / "skybox.xml").read_text()
    assert written == sky.replace("800", "1")
    assert (Path(made) / MODELS / "ball.stl").read_bytes() == b"shape"
    # Another process takes the same folder, or a new one where the models have changed.
    assert fresh(str(tmp_path / "assets")) == made
    (models / "common" / "skybox.xml").write_text(sky.replace("sky", "night"))
    assert fresh(str(tmp_path / "assets")) != made
    assert len(list((tmp_path / "cache").iterdir())) == 2  # and nothing half made


class TestWithEnvPool:
    @pytest.fixture(autouse=True)
    def _envpool(self) -> None:
        pytest.importorskip("envpool", reason="740 MB: pip install 'rlidim[envpool]'")

    def test_an_unknown_name_is_named_with_the_nearest(self) -> None:
        with pytest.raises(RlidimError, match=r"envpool: there is no 'MiniGrid-Doorkey-5x5-v0'.*"):
            making.check(task_of("MiniGrid-Doorkey-5x5-v0"))
        with pytest.raises(RlidimError, match="cannot be made"):
            making.spaces_of(task_of(EMPTY, no_such_setting=3))

    def test_minigrid_is_seen_one_hot(self) -> None:
        import envpool

        pool = envpool.make_gymnasium(EMPTY, num_envs=3, seed=[4, 5, 6], num_threads=1)
        seen = pool.reset()[0]
        rows = making.make_rows(task_of(EMPTY), 3)
        flat = rows.reset([4, 5, 6])
        assert flat.shape == (3, 7 * 7 * (11 + 6 + 3) + 4)
        for row in range(3):
            cells = flat[row, :-4].reshape(7, 7, 20)
            found = [part.argmax(-1) for part in np.split(cells, [11, 17], axis=-1)]
            np.testing.assert_array_equal(np.stack(found, -1), seen["image"][row])
            assert flat[row, -4:].argmax() == seen["direction"][row]
            assert flat[row].sum() == 3 * 49 + 1
        rows.close()

    @pytest.mark.parametrize("identity", IDENTITIES)
    def test_an_episode_is_its_seed_s_whoever_plays_beside(self, identity: str) -> None:
        task = task_of(identity, max_episode_steps=25)
        network = architecture(task)
        assert isinstance(network, Architecture)
        members = np.stack([network.initial_parameters(seed) for seed in range(6)])
        arena = Arena(task, 6)
        together = arena.play(Policy(network, members), seed=2**32 + 40)
        again = arena.play(Policy(network, members), seed=2**32 + 40)
        arena.close()
        np.testing.assert_array_equal(together.returns, again.returns)
        chosen = np.array([1, 4])
        few = Arena(task, 2)
        apart = few.play(Policy(network, members[chosen]), seed=2**32 + 40, members=chosen)
        few.close()
        np.testing.assert_array_equal(apart.returns, together.returns[chosen])
        assert together.steps <= 6 * 25

    @pytest.mark.parametrize("identity", ["CartpoleSwingup-v1", "CheetahRun-v1", "FingerSpin-v1"])
    def test_a_model_without_its_pictures_moves_the_same(self, identity: str) -> None:
        import envpool

        task, seeds = task_of(identity), [3, 4]
        painted = envpool.make_gymnasium(identity, num_envs=2, seed=seeds, num_threads=1)
        rows = making.make_rows(task, 2)
        own, actions = painted.observation_space.spaces, painted.action_space
        generator, both = np.random.default_rng(0), np.arange(2)
        seen, _ = painted.reset()
        flat = rows.reset(seeds)
        for _ in range(200):
            expected = np.concatenate([seen[part].reshape(2, -1) for part in own], axis=1)
            np.testing.assert_array_equal(flat, expected.astype(np.float32))
            taken = generator.uniform(-1, 1, (2, *actions.shape))
            seen, earned, *_ = painted.step(taken)
            flat, rewards, _ = rows.step(both, taken)
            np.testing.assert_array_equal(rewards, earned)
        rows.close()

    def test_numbers_without_bounds_have_none(self) -> None:
        observed, _ = making.spaces_of(task_of("WalkerStand-v1"))
        assert observed.shape == (14 + 1 + 9,)
        assert np.isinf(observed.low).all()  # type: ignore[attr-defined]

    def test_pools_of_models_are_made_at_once(self) -> None:
        """Painted, each environment takes 0.1 s."""
        rows = making.make_rows(task_of("CheetahRun-v1"), 50)
        rows.reset(range(50))
        began = time.process_time()
        rows.reset(range(50, 100))
        assert time.process_time() - began < 2.0
        rows.close()

    def test_an_episode_that_ends_is_begun_anew_in_the_same_step(self) -> None:
        env = side_by_side(task_of(EMPTY, max_episode_steps=7), 3, seed=5)
        first = env.reset()
        left = np.zeros(3, dtype=np.int64)
        for step in range(1, 22):
            observations, rewards, dones, infos = env.step(left)
            assert rewards.tolist() == [0.0] * 3  # turning earns nothing
            assert dones.tolist() == [step % 7 == 0] * 3
            if dones[0]:
                assert infos[0]["TimeLimit.truncated"] is True
                assert infos[0]["episode"]["l"] == 7
                assert infos[0]["terminal_observation"].shape == first[0].shape
                assert (infos[0]["terminal_observation"] != observations[0]).any()
        env.seed(5)
        np.testing.assert_array_equal(env.reset(), first)
        env.close()

    @pytest.mark.parametrize("trainer", ["es", "ppo"])
    @pytest.mark.parametrize("identity", [EMPTY, "parking-v0", "ReacherEasy-v1"])
    def test_a_run_and_its_record(self, identity: str, trainer: str, tmp_path: Path) -> None:
        task = task_of(identity, max_episode_steps=20)
        cell = Cell(task.name, trainer, "rademacher", 3, 0)
        record = run(Job(task, cell, tmp_path))
        assert record is not None
        assert record.status == "ok", record.error
        path = Results(tmp_path).path(cell)
        policy = playback.policy_of(record, path, tmp_path)
        played = evaluate(task, policy, 3, Seeds.of(cell).evaluation)
        np.testing.assert_allclose(played.returns, record.returns, rtol=1e-3, atol=1e-3)
        with pytest.raises(RlidimError, match="cannot be shown: its environment draws nothing"):
            playback.play(
                task, path, video=tmp_path / "x.gif", episodes=1, seed=0, log_dir=tmp_path
            )

    def test_the_suite_s_pools_are_there(self) -> None:
        tasks = [find_task(name) for name in task_files()]
        pools = [task for task in tasks if task.kind == "control"]
        pools = [task for task in pools if isinstance(task.control.environment, Pool)]
        assert len(pools) >= 6
        for task in pools:
            making.check(task)
