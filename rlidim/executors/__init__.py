"""Where cells run: in this process, in a pool of worker processes, or on a Ray cluster.

An executor gets jobs (``job``), each of which becomes a run (``making``) that is written once
(``ledger``). Ray is imported by ``rlidim.ray_driver``, in a process of its own, and on its nodes.
"""

from rlidim.executors.job import Executor, Job
from rlidim.executors.ledger import (
    ATTEMPTS,
    WORKER_DEATHS,
    check_settings,
    finished,
    run,
    run_when_free,
    superseded,
)
from rlidim.executors.local import InProcess, ProcessPool, default_workers
from rlidim.executors.making import one_thread
from rlidim.executors.ray import RayCluster

__all__ = [
    "ATTEMPTS",
    "WORKER_DEATHS",
    "Executor",
    "InProcess",
    "Job",
    "ProcessPool",
    "RayCluster",
    "check_settings",
    "default_workers",
    "finished",
    "one_thread",
    "run",
    "run_when_free",
    "superseded",
]
