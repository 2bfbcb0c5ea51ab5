"""A worker process ends with the process that started it, however that one ends."""

from __future__ import annotations

import os
import threading
from multiprocessing.process import BaseProcess


def end_with(parent: BaseProcess) -> None:
    """End this process as soon as its parent has ended, whatever it is at.

    A parent that is killed ends no daemon of its own.
    """

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
