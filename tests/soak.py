"""Kill measurements again and again with SIGKILL; what they end with must be as if nobody had.

``python -m tests.soak --kills 200``: sweeps by es, cmaes, ppo and dqn are started, and killed at
random moments: all their processes, the main one alone, or one worker. The same command is given
again until it ends by itself. Then every record must equal that of a sweep that nobody disturbed,
but for its provenance, and no temporary file, checkpoint or held lock may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rlidim.records import checkpoints
from rlidim.records.folder import Results
from rlidim.records.lock import LOCKS

MEASURES = "RLIDIM_SOAK_MEASURES"  # set where this module is the program that is killed
if MEASURES in os.environ:
    # The sweep's main process and, since spawn imports this module there, each of its workers.
    checkpoints.SECONDS = 0.3

KINDS = ("group", "main", "worker")
TRAINERS = {
    "es": ["--set", "n_timesteps=60000"],
    "cmaes": ["--set", "n_timesteps=60000"],
    "ppo": ["--set", "n_timesteps=6000"],
    "dqn": ["--set", "n_timesteps=4000"],
}
MEASURE = ["--dims", "2,8", "--seeds", "2", "--baseline-seeds", "2", "--workers", "2"]
LEFT_BEHIND = ("*.tmp", ".figure-*", checkpoints.FILE, checkpoints.ACTIONS)
PATIENCE = 600.0  # seconds for a sweep to end by itself, or for processes to be gone


@dataclass
class Tally:
    """What has happened so far."""

    kills: Counter[str] = field(default_factory=Counter)
    sweeps: Counter[str] = field(default_factory=Counter)
    records: int = 0
    resumed: int = 0
    faults: list[str] = field(default_factory=list)


class Sweep:
    """A measurement by one trainer in a folder of its own."""

    def __init__(self, trainer: str, folder: Path) -> None:
        """Remember what is to be measured."""
        self.trainer, self.folder = trainer, folder
        folder.mkdir(parents=True)

    def start(self) -> subprocess.Popen[bytes]:
        """Give the command."""
        command = [sys.executable, "-m", "tests.soak", "--results", str(self.folder / "results")]
        command += ["cartpole", "measure", "--trainer", self.trainer, *TRAINERS[self.trainer]]
        command += [*MEASURE, "--log-dir", str(self.folder / "runs")]
        return subprocess.Popen(
            command,
            env={**os.environ, MEASURES: "1"},
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "said").open("ab"),
            start_new_session=True,
        )

    def finish(self) -> float:
        """Give the command, wait for its end, and return the seconds that it took.

        A cell that lost its worker twice is on record as failed and is tried again by the next
        command: it is given until none is.
        """
        began = time.monotonic()
        for _ in range(3):
            # 2: the records do not give an estimate, such as where no run has learnt anything.
            assert self.start().wait(PATIENCE) in (0, 2), (self.folder / "said").read_text()
            if not any(record.stopped == "death" for record in self.records().values()):
                break
        return time.monotonic() - began

    def records(self) -> dict[str, object]:
        """Return what is on record."""
        records, problems = Results(self.folder / "results").scan()
        assert not problems, problems
        return {str(record.cell): record for record in records}


def parent_of(process: int) -> tuple[str, int]:
    """Return a process's state and parent; ("X", 0) if it is gone."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return "X", 0
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)


def workers_of(main: int) -> list[int]:
    """Return a sweep's worker processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        if parent_of(int(entry.name))[1] == main:
            words = (entry / "cmdline").read_bytes() if (entry / "cmdline").exists() else b""
            if b"--multiprocessing-fork" in words:
                found.append(int(entry.name))
    return found


def strike(process: subprocess.Popen[bytes], kind: str, dice: random.Random) -> bool:
    """Kill what a kind names; False if it is not there."""
    workers = workers_of(process.pid)
    try:
        if kind == "group":
            os.killpg(process.pid, signal.SIGKILL)
        elif kind == "main":
            os.kill(process.pid, signal.SIGKILL)
        elif workers:
            os.kill(dice.choice(workers), signal.SIGKILL)
        else:
            return False
    except ProcessLookupError:
        return False
    if kind != "worker":
        process.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while any(parent_of(worker)[0] not in "XZ" for worker in workers):
            assert time.monotonic() < deadline, "workers outlived their parent"
            time.sleep(0.02)
    return True


def disturb(sweep: Sweep, seconds: float, kills: int, dice: random.Random, tally: Tally) -> None:
    """Kill a sweep at random moments until it has ended, or was killed so many times."""
    process = sweep.start()
    while True:
        try:
            process.wait(dice.uniform(0.0, seconds / 2))
            return
        except subprocess.TimeoutExpired:
            pass
        kind = dice.choice(KINDS)
        if strike(process, kind, dice):
            tally.kills[kind] += 1
        if process.poll() is not None:
            if tally.kills.total() >= kills:
                return
            process = sweep.start()
        elif tally.kills.total() >= kills:
            process.wait(PATIENCE)
            return


def compare(sweep: Sweep, expected: Sweep, tally: Tally) -> None:
    """Note everything in which a sweep ended otherwise than the one that nobody disturbed."""
    found, wanted = sweep.records(), expected.records()
    tally.sweeps[sweep.trainer] += 1
    if found.keys() != wanted.keys():
        tally.faults.append(f"{sweep.folder}: other records: {found.keys() ^ wanted.keys()}")
    for name in found.keys() & wanted.keys():
        tally.records += 1
        tally.resumed += "resumed_at" in found[name].provenance
        if not found[name].same_result(wanted[name]):
            tally.faults.append(f"{sweep.folder}: {name} differs")
    for pattern in LEFT_BEHIND:
        tally.faults += [f"{path}: left behind" for path in sweep.folder.rglob(pattern)]
    locks = sweep.folder / "results" / LOCKS
    for path in locks.iterdir():
        if subprocess.run(["flock", "--nonblock", str(path), "true"], check=False).returncode:
            tally.faults.append(f"{path}: still held")


def soak(kills: int, seconds: float, seed: int) -> Tally:
    """Kill sweeps until there were so many kills, or so many seconds have passed."""
    dice, tally = random.Random(seed), Tally()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="rlidim-soak-"))
    whole = {trainer: Sweep(trainer, folder / f"{trainer}-whole") for trainer in TRAINERS}
    needed = {trainer: sweep.finish() for trainer, sweep in whole.items()}
    number = 0
    while tally.kills.total() < kills and time.monotonic() - began < seconds:
        trainer = list(TRAINERS)[number % len(TRAINERS)]
        number += 1
        sweep = Sweep(trainer, folder / f"{trainer}-{number}")
        # Each sweep a share of the kills, so that all trainers have theirs.
        share = min(kills, tally.kills.total() + max(1, kills // 20))
        disturb(sweep, needed[trainer], share, dice, tally)
        sweep.finish()
        compare(sweep, whole[trainer], tally)
        print(f"{tally.kills.total()} kills, {len(tally.faults)} faults: {sweep.folder.name}")
        sys.stdout.flush()
    if not tally.faults:
        shutil.rmtree(folder)
    return tally


def main() -> None:
    """Soak, print what came of it, and exit with 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no sweep after")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    tally = soak(given.kills, given.seconds, given.seed)
    print(
        json.dumps(
            {
                "kills": dict(tally.kills),
                "sweeps": dict(tally.sweeps),
                "records": tally.records,
                "resumed_from_a_checkpoint": tally.resumed,
                "faults": tally.faults,
                "minutes": round((time.monotonic() - began) / 60, 1),
            },
            indent=1,
        )
    )
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    if MEASURES in os.environ:
        from rlidim.cli import main as measure

        measure()
    else:
        main()
