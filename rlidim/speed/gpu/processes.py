"""Worker processes that compile kernels and compute references side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from time import perf_counter
from typing import Any

DIED = "the process died"
MOST = 16  # each has a context of its own on the GPU

_lost: str | None = None  # why this process can use the GPU no more


class Processes:
    """A pool of processes that is started at first use; this one alone where cores are few."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self.count = max(1, min(MOST, (os.cpu_count() or 1) - 1))
        self._pool: ProcessPoolExecutor | None = None

    def run(
        self,
        function: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        deadline: float,
    ) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Call a function of a module with each of the arguments; yield both as calls end.

        In the place of a result stands a text where there is none: the process died, or an earlier
        call had lost it the GPU. A process that dies takes its pool along: whatever that was at is
        called again, one call after another, so that only what kills its own process is lost. What
        has not begun at the deadline, of ``perf_counter``, is left out.
        """
        if self.count == 1:
            for call in arguments:
                if perf_counter() >= deadline:
                    return
                yield call, function(*call)
            return
        if perf_counter() >= deadline:
            return
        waiting = {self._submit(_call, function, call): call for call in arguments}
        timeout = None if math.isinf(deadline) else max(0.0, deadline - perf_counter())
        suspects = []
        try:
            for future in as_completed(list(waiting), timeout):
                call, result = waiting.pop(future), _result(future)
                if result == DIED:
                    suspects.append(call)
                else:
                    yield call, result
        except TimeoutError:
            begun = [future for future in waiting if not future.cancel()]
            for future in begun:
                yield waiting[future], _result(future)
        for call in suspects:
            if perf_counter() >= deadline:
                yield call, DIED
            else:
                yield call, _result(self._submit(_call, function, call))

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        try:
            return self._started().submit(function, *arguments)
        except BrokenProcessPool:
            self._pool = None
            return self._started().submit(function, *arguments)

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.count, mp_context=get_context("spawn"), initializer=_begin
            )
        return self._pool

    def close(self) -> None:
        """End the processes: timings need all cores."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _begin() -> None:
    import torch

    from rlidim.trainers.parent import begin_worker

    begin_worker()
    torch.set_num_threads(1)


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except BrokenProcessPool:
        return DIED


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a function, unless an earlier call's illegal access has lost this process the GPU."""
    import torch

    global _lost
    if _lost is not None:
        return _lost
    result = function(*arguments)
    try:
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.synchronize()
    except RuntimeError as error:
        named = " ".join(map(str, arguments))
        _lost = f"the process had lost the GPU to {named} ({str(error).splitlines()[0]})"
    return result
