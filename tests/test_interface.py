"""The Python face: what the command line does, with the same records and the same refusals."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlidim
from rlidim import interface
from rlidim.cli import main
from rlidim.executors.job import Job
from rlidim.executors.local import InProcess
from rlidim.records.cell import Cell
from rlidim.records.folder import read_record
from rlidim.records.record import RunRecord

ENVS = Path(__file__).parent.parent / "envs"
RISING = {4: [0.1, 0.0], 8: [0.4, 0.5], 16: [0.95, 1.0], 32: [1.0, 1.0]}
OWN = """
title: My task
environment: {id: CartPole-v1}
network: {hidden: [4]}
trainers:
  cmaes: {n_timesteps: 100}
"""


def test_every_public_name_is_there_and_typed() -> None:
    source = inspect.getsource(rlidim)
    for name in rlidim.__all__:
        assert getattr(rlidim, name).__doc__
        assert f" import {name} as {name}\n" in source, f"type checkers do not see rlidim.{name}"


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import rlidim", ("torch", "stable_baselines3", "scipy", "numpy", "gymnasium")),
        ("from rlidim import RlidimError, RunRecord, Task", ("torch", "stable_baselines3")),
    ],
)
def test_a_name_imports_no_more_than_it_needs(statement: str, heavy: tuple[str, ...]) -> None:
    code = f"{statement}; import sys; print(*sorted({set(heavy)!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_face_shows_examples() -> None:
    for public in (rlidim.load, rlidim.train, rlidim.measure, rlidim.estimate):
        assert ">>> " in str(public.__doc__), public


def test_load_finds_tasks_variants_and_a_users_own(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text(OWN)
    assert isinstance(rlidim.load("cartpole"), rlidim.Task)
    assert rlidim.load("mnist-fc-400x3").name == "mnist-fc-400x3"
    assert rlidim.load("own", tmp_path) == rlidim.load("own", str(tmp_path))
    with pytest.raises(rlidim.RlidimError, match="did you mean 'cartpole'"):
        rlidim.load("cartpol")
    with pytest.raises(rlidim.RlidimError, match="nowhere"):
        rlidim.load("own", tmp_path / "nowhere")


def test_train_makes_the_record_of_the_command_line(tmp_path: Path) -> None:
    command = ["codimension-1", "train", "--dim", "2", "--trainer", "cmaes", "--seed", "3"]
    folders = ["--results", str(tmp_path / "a")], ["--log-dir", str(tmp_path / "logs")]
    with pytest.raises(SystemExit) as ended:
        main([*folders[0], *command, *folders[1]])
    assert not ended.value.code
    mine = rlidim.train("codimension-1", "cmaes", d=2, seed=3, results=tmp_path / "b")
    (path,) = (tmp_path / "a").glob("*/*/*.json")
    (copy,) = (tmp_path / "b").glob("*/*/*.json")
    assert path.relative_to(tmp_path / "a") == copy.relative_to(tmp_path / "b")
    theirs = rlidim.train("codimension-1", "cmaes", d=2, seed=3, results=tmp_path / "a")
    assert mine.same_result(theirs)
    assert {entry.name for entry in tmp_path.iterdir()} <= {"a", "b", "logs"}


def test_train_returns_what_is_on_record_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    heard: list[tuple[Cell, int, float | None]] = []

    def listen(cell: Cell, steps: int, score: float | None) -> None:
        heard.append((cell, steps, score))

    def again(**choices: Any) -> RunRecord:
        return rlidim.train(
            "codimension-1",
            "es",
            d=1,
            results=tmp_path,
            tell=said.append,
            listener=listen,
            **choices,
        )

    first = again()
    assert said == []
    assert {cell for cell, _, _ in heard} == {first.cell}
    assert again() == first
    (line,) = said
    assert "d1-s0.json: on record" in line
    forced = again(force=True)
    assert forced.same_result(first)
    assert len(said) == 1


def test_numpy_s_whole_numbers_are_python_s(tmp_path: Path) -> None:
    mine = rlidim.train("codimension-1", "es", d=np.int64(1), seed=np.int32(2), results=tmp_path)
    assert mine == rlidim.train("codimension-1", "es", d=1, seed=2, results=tmp_path)
    fresh = tmp_path / "fresh"
    estimate = rlidim.measure(
        "codimension-1", "es", dims=np.array([1]), seeds=np.int64(2), results=fresh
    )
    assert len(estimate.rungs[0].scores) == 2
    natives = list((fresh / "codimension-1" / "es-native").iterdir())
    assert len([path for path in natives if path.suffix == ".json"]) == 2
    for choices, message in (
        ({"dims": 3}, "dims must be several whole numbers, got 3"),
        ({"workers": "2"}, "workers must be a whole number, got '2'"),
        ({"precision": "2"}, "precision must be a number, got '2'"),
        ({"fraction": "0.9"}, "fraction must be a number, got '0.9'"),
        ({"precision": float("nan")}, "--precision is a ratio of at least 1, and finite, got nan"),
        ({"budget": "20"}, "budget: expected a time such as 3h"),
    ):
        with pytest.raises(rlidim.RlidimError, match=message):
            rlidim.measure("codimension-1", "es", results=tmp_path, **choices)  # type: ignore[arg-type]


def test_a_failed_run_that_is_tried_again_is_not_said_to_stand(tmp_path: Path) -> None:
    said: list[str] = []
    choices: dict[str, Any] = {"d": 2, "results": tmp_path, "tell": said.append}
    failed = rlidim.train("codimension-3", "es", timeout=0.01, **choices)
    assert failed.status == "failed"
    assert rlidim.train("codimension-3", "es", **choices).status == "ok"
    assert said == []
    rlidim.train("codimension-3", "es", **choices)
    assert "on record" in said[0]


def test_train_goes_on_from_a_checkpoint_or_says_why_not(tmp_path: Path) -> None:
    said: list[str] = []
    results, logs = tmp_path / "results", tmp_path / "logs"
    rlidim.train(
        "codimension-1", "es", d=1, results=results, log_dir=logs, resume=True, tell=said.append
    )
    rlidim.train("toy", d=2, results=results, log_dir=logs, resume=True, tell=said.append)
    assert "no checkpoint there: the run begins anew" in said[0]
    assert "a run of supervised cannot be resumed" in said[1]
    with pytest.raises(rlidim.RlidimError, match="--log-dir"):
        rlidim.train("codimension-1", "es", d=1, seed=1, results=results, resume=True)


def test_a_native_solution_is_kept_where_logs_are(tmp_path: Path) -> None:
    record = rlidim.train(
        "codimension-1", "cmaes", results=tmp_path / "results", log_dir=tmp_path / "logs"
    )
    assert list((tmp_path / "logs" / str(record.cell)).glob("solution*"))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"trainer": "pp0"}, "did you mean 'ppo'"),
        ({"trainer": "sac"}, "no settings for trainer 'sac'"),
        ({"seed": -1}, "--seed must be from 0 to 10^100, got -1"),
        ({"processes": 0}, "--processes must be at least 1, got 0"),
        ({"trainer": "cmaes", "processes": 2}, "takes 1"),
        ({"scope": "all"}, "es has none"),
        ({"projection": "rademacer"}, "did you mean 'rademacher'"),
        ({"d": 0}, "got 0"),
        ({"d": 1.5}, "d must be a whole number, got 1.5"),
        ({"seed": "1"}, "seed must be a whole number, got '1'"),
        ({"seed": 10**101}, "--seed must be from 0 to 10^100"),
        ({"timeout": 1e30}, "--timeout must be above 0 seconds, at most 100,000,000"),
        ({"timeout": "soon"}, "timeout: expected a time such as 3h"),
        ({"log": "tensorboard"}, "log is a list of names, such as ['tensorboard']"),
        ({"projection": 5}, "unknown projection '5'"),
        ({"d": 26}, "between 1 and D = 25"),
    ],
)
def test_train_refuses_in_one_line(choices: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(rlidim.RlidimError) as refusal:
        rlidim.train("codimension-1", **{"d": 2, "results": tmp_path, **choices})
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.rglob("d*-s*.json"))


class FakeCluster:
    """Stands for a Ray cluster: notes what it is asked, and makes the run here."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[Job], bool]] = []

    def run(self, jobs: Sequence[Job], *, force: bool = False) -> Iterator[RunRecord]:
        self.asked.append((jobs, force))
        return InProcess().run(jobs)


def test_a_cluster_is_asked_for_the_run(tmp_path: Path) -> None:
    cluster: Any = FakeCluster()
    record = rlidim.train("codimension-1", "es", d=1, results=tmp_path, cluster=cluster, force=True)
    ((jobs, force),) = cluster.asked
    assert [job.cell for job in jobs] == [record.cell]
    assert force
    with pytest.raises(rlidim.RlidimError, match="leaves none"):
        rlidim.train("codimension-1", "es", resume=True, results=tmp_path, cluster=cluster)


class Counting(InProcess):
    """Counts the runs it makes, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.made, self.closed = 0, False

    def run(self, jobs: Sequence[Job]) -> Iterator[RunRecord]:
        for record in super().run(jobs):
            self.made += 1
            yield record

    def close(self) -> None:
        self.closed = True


def test_measure_takes_what_the_command_line_takes(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text((ENVS / "codimension-1.yml").read_text())
    executor = Counting()
    found = rlidim.measure(
        rlidim.load("own", tmp_path),
        "cmaes",
        dims=[1, 2],
        seeds=1,
        baseline_seeds=3,
        results=tmp_path / "results",
        log_dir=tmp_path / "logs",
        executor=executor,
    )
    assert found.d_int == 1
    assert executor.made == 6  # two in subspaces, three native ones, random actions
    assert not executor.closed  # the caller's
    assert len(list((tmp_path / "logs").rglob("solution*"))) == 3
    with pytest.raises(rlidim.RlidimError, match="workers = 2"):
        rlidim.measure("codimension-1", workers=2, results=tmp_path, executor=executor)


def test_a_budget_is_core_time(tmp_path: Path) -> None:
    with pytest.raises(
        rlidim.RlidimError, match="--budget must be above 0 seconds and finite, got 0"
    ):
        rlidim.measure("codimension-1", "es", results=tmp_path, budget=0.0)


def test_a_budget_on_the_command_line_is_a_length_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["codimension-1", "measure", "--trainer", "cmaes", "--budget", "20"])
    assert ended.value.code == 2
    assert "'--budget': expected a time such as 3h, 20m or 90s, got '20'" in capsys.readouterr().err


def test_estimate_reads_scores_as_a_measurement_does(tmp_path: Path) -> None:
    measured = rlidim.measure("codimension-1", "cmaes", dims=[1, 2], results=tmp_path)
    native = [read_record(path) for path in tmp_path.glob("*/cmaes-native/*.json")]
    (random,) = [read_record(path) for path in tmp_path.glob("*/random/*.json")]
    assert random.score is not None
    found = rlidim.estimate(
        {rung.d: rung.scores for rung in measured.rungs},
        [record.score for record in native if record.score is not None],
        random.score,
        D=measured.D,
        target=1.0,
    )
    assert (found.d_int, found.interval) == (measured.d_int, measured.interval)
    assert found.rungs == measured.rungs


def test_estimate_takes_arrays_in_any_order() -> None:
    plain = rlidim.estimate(RISING, [1.0, 1.0], 0.0, D=100)
    arrays: Any = {np.int64(d): np.array(RISING[d]) for d in reversed(RISING)}
    assert rlidim.estimate(arrays, np.ones(2).tolist(), 0, D=100) == plain
    assert plain.d_int is not None
    assert 8 < plain.d_int <= 16


def test_an_unknown_D_leaves_the_interval_open() -> None:
    low = {d: RISING[d] for d in (4, 8)}
    known = rlidim.estimate(low, [1.0, 1.0], 0.0, D=8)
    unknown = rlidim.estimate(low, [1.0, 1.0], 0.0)
    assert known.unreached
    assert unknown.censored == "above"
    assert not unknown.unreached
    assert unknown.interval[1] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": {}}, "scores: expected the scores at each d"),
        ({"scores": [0.1]}, "scores: expected the scores at each d"),
        ({"scores": {4: []}}, "scores at d = 4: no score"),
        ({"scores": {4: 0.5}}, "scores at d = 4: expected numbers, got 0.5"),
        ({"scores": {4: ["high"]}}, "scores at d = 4: expected numbers"),
        ({"scores": {4: [0.5, math.nan]}}, "scores at d = 4: nan is no score"),
        ({"scores": {4: [math.inf]}}, "scores at d = 4: inf is no score"),
        ({"scores": {0: [0.5]}}, "from 1 to D = 100, got 0"),
        ({"scores": {-2: [0.5]}}, "from 1 to D = 100, got -2"),
        ({"scores": {2.5: [0.5]}}, "from 1 to D = 100, got 2.5"),
        ({"scores": {"4": [0.5]}}, "from 1 to D = 100, got '4'"),
        ({"scores": {101: [0.5]}}, "from 1 to D = 100, got 101"),
        ({"baseline": []}, "baseline: no score"),
        ({"baseline": [math.nan]}, "baseline: nan is no score"),
        ({"baseline": [0.0, 0.0]}, "no better than random"),
        ({"random": math.nan}, "random: nan is no score"),
        ({"random": 2.0}, "no better than random"),
        ({"D": 0}, "D must be a whole number from 1 to 2147483648, got 0"),
        ({"fraction": 1.0}, "fraction must be between 0 and 1, got 1.0"),
        ({"fraction": "0.9"}, "fraction must be a number, got '0.9'"),
        ({"fraction": math.nan}, "fraction must be between 0 and 1"),
        ({"minimum_score": math.inf}, "minimum_score: inf is no score"),
        ({"scores": {4: "12"}}, "scores at d = 4: expected numbers, got '12'"),
        ({"scores": {4: [10**400]}}, "scores at d = 4: expected numbers"),
        ({"D": 2**40}, "D must be a whole number from 1 to 2147483648"),
    ],
)
def test_estimate_refuses_in_one_line(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"scores": RISING, "baseline": [1.0, 1.0], "random": 0.0, "D": 100}
    with pytest.raises(rlidim.RlidimError) as refusal:
        rlidim.estimate(**{**given, **changes})
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rlidim.load(None), r"load\(\) takes a task's name, got None"),
        (lambda: rlidim.train(Path("cartpole")), "task must be a name or what load"),
        (lambda: rlidim.train("cartpole", results=None), "results must be the path of a folder"),
        (lambda: rlidim.train("cartpole", log_dir=3), "log_dir must be the path of a folder"),
        (lambda: rlidim.train("cartpole", log=None), "log is a list of names"),
        (lambda: rlidim.measure("cartpole", executor="ray"), "executor must make runs"),
    ],
)
def test_what_is_of_another_kind_has_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(rlidim.RlidimError, match=message):
        call()


def test_confine_is_in_the_face() -> None:
    from stable_baselines3 import PPO

    model = rlidim.confine(PPO("MlpPolicy", "CartPole-v1", device="cpu"), d=4)
    assert isinstance(model.policy.optimizer, rlidim.SubspaceOptimizer)
    assert interface.train is rlidim.train
