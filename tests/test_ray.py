"""The Ray executor against a real Ray: two nodes on this machine, one of which is killed."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlidim.cli.options import executor_of
from rlidim.errors import RlidimError
from rlidim.executors import ledger
from rlidim.executors.job import Job
from rlidim.executors.local import InProcess
from rlidim.executors.making import Made
from rlidim.executors.ray import cluster as ray_cluster
from rlidim.executors.ray import node as ray_node
from rlidim.executors.ray.cluster import RayCluster
from rlidim.executors.ray.driver import reason_of
from rlidim.executors.ray.node import Mistake, NodeDied, WorkerDied, hide_other_gpus, on_node
from rlidim.records.cell import Cell
from rlidim.records.lock import claim
from rlidim.records.record import RunRecord
from rlidim.solutions import file
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import Environment
from rlidim.tasks.settings import EvolutionStrategySettings
from rlidim.tasks.task import Task
from tests.factory import make_task
from tests.test_executors import results_of, state_of

pytest.importorskip("ray")

ROOT = Path(__file__).parent.parent
TASK = "codimension-3"
CELLS = [Cell(TASK, "es", "rademacher", 3, seed) for seed in range(2)]
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


def quick() -> Task:
    return find_task(TASK).replace_settings("es", {"n_timesteps": 2000})


def jobs(folder: Path, cells: list[Cell] = CELLS) -> list[Job]:
    return [Job(quick(), cell, folder / "results", folder / "runs") for cell in cells]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Make a folder of this module's own for what Ray leaves, and let its workers see tests/."""
    # Short: the paths of Ray's sockets must not exceed 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="rlidim-", dir="/tmp"))
    (folder / "ray").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(folder))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.delenv("RAY_ADDRESS", raising=False)
        # Ray's workers yield to all else, for minutes on a machine that is busy with other tests.
        patch.setenv("RAY_worker_niceness", "0")
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(place: Path) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    head = {**NODE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def shared(cluster: Any) -> Iterator[RayCluster]:
    """Return the executor that the tests share: joining takes seconds."""
    executor = RayCluster(cluster.address)
    yield executor
    executor.close()


def patient(folder: Path) -> tuple[list[Job], Path]:
    """Return jobs that wait for a file, and the file."""
    gate = folder / "gate"
    environment = Environment("tests.deadly:Patient-v0", {"gate": str(gate)})
    settings = EvolutionStrategySettings(n_timesteps=2000)
    task = make_task("patient", environment=environment, trainers={"es": settings})
    cells = [
        Cell.baseline("patient", "es", 0),
        *(Cell("patient", "es", "rademacher", d, seed) for d in (2, 3) for seed in range(2)),
    ]
    return [Job(task, cell, folder / "ray", folder / "ray-runs") for cell in cells], gate


@pytest.mark.slow
def test_a_node_killed_in_the_middle_costs_nothing(
    tmp_path: Path, cluster: Any, shared: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = cluster.add_node(**NODE)
    raylet = node.all_processes["raylet"][0].process.pid
    todo, gate = patient(tmp_path)

    def kill() -> None:
        """Wait for a cell on each node, kill one of the nodes and then let all cells go on."""
        try:
            deadline = time.monotonic() + 120
            while len(list(tmp_path.glob("gate-*"))) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            (waiting,) = tmp_path.glob(f"gate-{raylet}-*")
            cluster.remove_node(node, allow_graceful=False)
            while state_of(int(waiting.name.split("-")[2]))[0] not in "XZ":
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            gate.touch()

    written: Counter[Cell] = Counter()
    landed: list[object] = []
    keep, land = ledger.keep, RayCluster._land

    def count(job: Job, made: Any) -> RunRecord:
        written[job.cell] += 1
        return keep(job, made)

    def watch(self: RayCluster, flight: Any, content: object, queue: Any) -> RunRecord | None:
        landed.append(content)
        return land(self, flight, content, queue)

    monkeypatch.setattr(ray_cluster, "keep", count)
    monkeypatch.setattr(RayCluster, "_land", watch)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        records = list(shared.run(todo))
    finally:
        gate.touch()
        killer.join()
    lost = [content for content in landed if not isinstance(content, Made)]
    assert [type(content) for content in lost] == [NodeDied]
    assert {record.cell for record in records} == {job.cell for job in todo}
    assert set(written.values()) == {1}
    assert len(records) == len(written) == len(todo)
    one = [replace(job, results=tmp_path / "one", log_dir=tmp_path / "one-runs") for job in todo]
    list(InProcess().run(one))
    found, expected = results_of(tmp_path / "ray"), results_of(tmp_path / "one")
    assert found.keys() == expected.keys()
    for cell, record in expected.items():
        assert record.status == "ok"
        assert found[cell].same_result(record), cell
        assert "ray_node" not in record.provenance
    survivor = cluster.head_node.node_id
    assert {found[cell].provenance["ray_node"] for cell in expected} == {survivor}
    # A native solution is too long for its record: it comes back as a file of its own.
    beside = f"{todo[0].cell}/{file.FILE}"
    theirs, ours = (file.load(tmp_path / name / beside) for name in ("ray-runs", "one-runs"))
    assert theirs.theta_0 is not None
    assert ours.theta_0 is not None
    assert theirs.theta_0.tobytes() == ours.theta_0.tobytes()


@pytest.mark.slow
def test_a_run_split_over_two_nodes_survives_a_worker(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = cluster.add_node(**NODE)
    cluster.wait_for_nodes()  # and until the one that another test killed is known to be dead
    small = {"population": 8, "n_timesteps": 8_000, "eval_freq": 2}
    task = find_task("pendulum").replace_settings("es", small)
    cell = Cell("pendulum", "es", "rademacher", 4, 0)
    job = Job(task, cell, tmp_path / "ray", None, processes=2)
    landed: list[object] = []
    land = RayCluster._land

    def watch(self: RayCluster, flight: Any, content: object, queue: Any) -> RunRecord | None:
        landed.append(content)
        return land(self, flight, content, queue)

    def kill() -> None:
        deadline = time.monotonic() + 120
        while not (found := processes_that_name("ray::RolloutActor")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(found[0], signal.SIGKILL)

    monkeypatch.setattr(RayCluster, "_land", watch)
    executor = RayCluster(cluster.address, cpus=2)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        (record,) = executor.run([job])
    finally:
        killer.join()
        executor.close()
        cluster.remove_node(node, allow_graceful=False)
    first, second = landed
    assert isinstance(first, WorkerDied)
    assert isinstance(second, Made)
    assert record.status == "ok", record.error
    assert record.provenance["processes"] == 2
    (other,) = record.provenance["ray_nodes_of_workers"]
    assert {other, record.provenance["ray_node"]} == {node.node_id, cluster.head_node.node_id}
    alone = replace(job, results=tmp_path / "one", processes=1)
    (expected,) = InProcess().run([alone])
    assert record.same_result(expected)


@pytest.mark.slow
def test_what_is_on_record_or_held_elsewhere_is_not_run(tmp_path: Path, shared: RayCluster) -> None:
    first, second = jobs(tmp_path)
    with claim(first.results, first.cell) as mine:
        assert mine
        running = shared.run([first, second])
        assert next(running).cell == second.cell
    assert [record.cell for record in running] == [first.cell]
    submitted = shared._submitted
    assert {record.attempts for record in shared.run([first, second])} == {1}
    assert shared._submitted == submitted


@pytest.mark.slow
def test_a_cell_that_kills_its_worker_is_recorded_as_failed(
    tmp_path: Path, shared: RayCluster
) -> None:
    deadly = make_task("deadly", environment=Environment("tests.deadly:Deadly-v0"))
    (record,) = shared.run([Job(deadly, Cell.random("deadly"), tmp_path)])
    assert record.status == "failed"
    assert "worker process died" in str(record.error)
    assert results_of(tmp_path)[record.cell] == record


@pytest.mark.slow
def test_a_users_mistake_crosses_the_wire(tmp_path: Path, cluster: Any, shared: RayCluster) -> None:
    too_many = Cell(TASK, "es", "rademacher", 10**6, 0)
    with pytest.raises(RlidimError, match=r"between 1 and D = 75.* \(on node "):
        list(shared.run(jobs(tmp_path, [too_many])))
    assert not results_of(tmp_path / "results")


@pytest.mark.slow
def test_the_command_prints_its_own_lines_alone(tmp_path: Path, cluster: Any) -> None:
    arguments = ["codimension-1", "measure", "--trainer", "cmaes", "--dims", "1,2", "--seeds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "rlidim", *arguments, "--json", "--executor", "ray"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trainer"] == "cmaes"
    assert all(line.startswith("codimension-1 cmaes: ") for line in done.stderr.splitlines())


def test_nodes_must_have_the_same_versions() -> None:
    answer = pickle.loads(on_node(("9.9.9", "3.99"), b"never opened"))
    assert isinstance(answer, Mistake)
    assert "this machine rlidim 9.9.9 on Python 3.99: install the same" in answer.message


def test_a_user_s_module_that_a_node_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_node, "hide_other_gpus", lambda: None)
    payload = b"cno_such_module\nSettings\n."  # what pickle makes of that module's class
    named = f"node {socket.gethostname()} cannot import .*No module named 'no_such_module'"
    answer = pickle.loads(on_node(ray_node.identity(), payload))
    assert isinstance(answer, Mistake)
    assert re.match(named, answer.message)
    with pytest.raises(RlidimError, match=named):
        ray_node.RolloutActor().begin(ray_node.identity(), payload)


@pytest.mark.parametrize(("reserved", "seen"), [([], ""), (["1"], "0,1")])
def test_a_gpu_that_is_not_reserved_is_not_seen(
    reserved: list[str], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    context = SimpleNamespace(get_accelerator_ids=lambda: {"GPU": reserved, "TPU": []})
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    hide_other_gpus()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


@pytest.mark.slow
def test_no_cluster_at_the_address(tmp_path: Path, place: Path) -> None:
    executor = RayCluster("127.0.0.1:1")
    with pytest.raises(RlidimError, match=r"--address 127\.0\.0\.1:1: no Ray cluster there"):
        list(executor.run(jobs(tmp_path)))
    executor.close()
    with claim(tmp_path / "results", CELLS[0]) as free:
        assert free


@pytest.mark.slow
def test_something_else_at_the_address(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "CONNECT_SECONDS", 5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        executor = RayCluster(address)
        with pytest.raises(RlidimError, match=f"--address {address}: no answer .* within 5 s"):
            list(executor.run(jobs(tmp_path)))
        executor.close()


def test_a_cluster_that_asks_for_a_token() -> None:
    """What ``ray start --head`` makes in Ray 2.60, unless its environment says otherwise."""
    from ray.exceptions import AuthenticationError

    outer = ConnectionError("Failed to connect to GCS")
    outer.__cause__ = AuthenticationError("InvalidAuthToken:\nmissing or incorrect")
    assert "set RAY_AUTH_MODE=token" in reason_of(outer)
    wrong = RuntimeError("Traceback ... see https://docs.ray.io/en/latest/token-auth.html")
    assert "set RAY_AUTH_MODE=token" in reason_of(wrong)
    assert reason_of(ValueError("two\n lines")) == "two lines"
    assert reason_of(KeyError()) == "KeyError()"


@pytest.mark.slow
def test_a_job_without_the_token_is_refused(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="rlidim-", dir="/tmp"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    bare |= {"RAY_TMPDIR": str(folder), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    asking = {"RAY_AUTH_MODE": "token"}
    head = subprocess.Popen(
        [
            *(Path(sys.executable).parent / "ray", "start", "--head", "--block", f"--port={port}"),
            *("--num-cpus=1", "--include-dashboard=false", "--object-store-memory=83886080"),
        ],
        env={**bare, **asking, "RAY_AUTH_TOKEN": "a" * 64},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def measure(**environment: str) -> subprocess.CompletedProcess[str]:
        command = f"{TASK} measure --trainer es --dims 3 --seeds 1 --executor ray"
        return subprocess.run(
            [sys.executable, "-m", "rlidim", *command.split(), "--address", f"127.0.0.1:{port}"],
            cwd=tmp_path,
            env={**bare, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    try:
        deadline = time.monotonic() + 120
        while measured := measure(**asking, RAY_AUTH_TOKEN="a" * 64):
            if measured.returncode == 0:  # with the token
                break
            assert time.monotonic() < deadline, measured.stderr
            time.sleep(1)
        shutil.rmtree(tmp_path / "results")
        for wrong in ({}, asking, {**asking, "RAY_AUTH_TOKEN": "b" * 64}):
            refused = measure(**wrong)
            assert refused.returncode == 2, refused.stderr
            said = refused.stderr.splitlines()[-1]
            assert said.startswith("error: --address 127.0.0.1:")
            assert "token" in said
            assert "Traceback" not in refused.stderr, said[:3000]
            assert not list((tmp_path / "results").rglob("*-s*.json"))
    finally:
        head.terminate()
        for number in processes_that_name(str(folder)):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ray", 0, None, None), "--workers must be at least 1, got 0"),
        (("ray", None, "nonsense", None), "--address must be HOST:PORT"),
        (("ray", None, "host:99999", None), "--address must be HOST:PORT"),
        (("ray", None, "ray://host:10001", None), "a Ray client is not supported"),
        (("ray", None, None, -1.0), "--gpus-per-cell must be a share of one GPU or whole, got -1"),
        (("ray", None, None, math.inf), "--gpus-per-cell must be a share of one GPU or whole"),
        (("ray", None, None, math.nan), "--gpus-per-cell must be a share of one GPU or whole"),
        (("ray", None, None, 1.5), "--gpus-per-cell must be a share of one GPU or whole, got 1.5"),
        (("local", None, "host:6379", None), "--address host:6379 is for --executor ray"),
        (("local", None, None, 0.5), "--gpus-per-cell 0.5 is for --executor ray"),
    ],
)
def test_options_that_do_not_fit(arguments: Any, message: str) -> None:
    with pytest.raises(RlidimError, match=message):
        executor_of(*arguments)


@pytest.mark.parametrize(
    ("cpus", "message"),
    [(0, "cpus must be at least 1, as --processes must, got 0"), (1.5, "must be a whole number")],
)
def test_a_run_has_a_cpu(cpus: Any, message: str) -> None:
    with pytest.raises(RlidimError, match=message):
        RayCluster(cpus=cpus)


def test_a_run_is_split_over_no_more_processes_than_it_has_cpus(tmp_path: Path) -> None:
    job = replace(jobs(tmp_path)[0], processes=3)
    with pytest.raises(RlidimError, match=r"--processes 3: .* 2 CPUs: RayCluster\(cpus=3\) gives"):
        next(RayCluster(cpus=2).run([job]))


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RlidimError, match=r"not installed: pip install 'rlidim\[ray\]'"):
        RayCluster()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.slow
def test_ctrl_c_ends_a_ray_of_its_own(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="rlidim-", dir="/tmp"))
    (tmp_path / "log").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "rlidim", "cartpole", "measure", "--executor", "ray"],
        cwd=tmp_path,
        env={**os.environ, "RAY_TMPDIR": str(folder), "RAY_worker_niceness": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A job in the background of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "results").rglob("*-s*.json")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said.strip().endswith("the same command goes on from here")
        assert "Traceback" not in said
        while left := processes_that_name(str(folder)):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        for number in processes_that_name(str(folder)):
            os.kill(number, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def processes_that_name(text: str) -> list[int]:
    """Return the processes whose command line holds a text: Ray's name their session's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it ended meanwhile
            continue
    return found
