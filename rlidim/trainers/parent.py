"""How worker processes begin, and that they end with the process that started them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker

from rlidim.trainers.warned import tell_once


def end_with_parent() -> None:
    """End this process, which another has started, as soon as that one has ended.

    Whatever it is at: a parent that is killed ends no process of its own.
    """
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def begin_worker() -> None:
    """Leave Ctrl-C to the parent, which ends its workers itself; end when it is killed.

    What foreign code warns of is told once.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    tell_once()


@contextmanager
def starting_workers() -> Iterator[None]:
    """Have the processes that are started within leave Ctrl-C to this one from the first moment.

    They inherit what this thread does not hear; one that is still importing would else show where
    it was. What arrives meanwhile is heard afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its own start, with the first worker, would end the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
