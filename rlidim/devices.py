"""The device that large networks are on, and functions that a GPU repeats as CUDA graphs."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch import Tensor


def device() -> torch.device:
    """Return the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


CALLS_BEFORE = 3  # unrecorded: they compile, choose algorithms, make the optimizer's state


class Repeated:
    """A function of tensors of always the same shapes, recorded once and repeated from then on.

    The first calls run as they are, on a stream of their own, as PyTorch's notes on CUDA graphs
    ask. Only the function's work on the GPU is repeated: it must read and write the same tensors
    each time, and may leave nothing else for Python to do.

    Args:
        function: returns a tensor; a repetition overwrites and returns the recording's.

    Example:
        >>> import torch
        >>> from rlidim.devices import Repeated
        >>> total = torch.zeros(())
        >>> add = Repeated(lambda x: total.add_(x.sum()))  # doctest: +SKIP
        >>> add(torch.ones(4, device="cuda"))  # doctest: +SKIP
        tensor(4., device='cuda:0')
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        """Record nothing yet."""
        self._function = function
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._output: Tensor

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Call the function, or repeat its recording on these inputs."""
        if self._calls < CALLS_BEFORE:
            self._calls += 1
            return self._called(*inputs)
        if self._graph is None:
            self._inputs = tuple(tensor.clone() for tensor in inputs)
            # An earlier recording may wait in a reference cycle; none may be freed during this one.
            gc.collect()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._output = self._function(*self._inputs)
            self._graph = graph
        for place, tensor in zip(self._inputs, inputs, strict=True):
            place.copy_(tensor)
        self._graph.replay()
        return self._output

    def _called(self, *inputs: Tensor) -> Tensor:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            output = self._function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return output
