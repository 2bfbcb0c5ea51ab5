"""A worker process ends with the process that started it, however that one ends."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process


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
