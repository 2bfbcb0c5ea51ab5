"""Training in a random subspace: theta_D = theta_0 + P theta_d, of which only theta_d is trained.

Li et al. 2018, section 2. The network keeps its ordinary parameters, so every trainer works
unchanged: a step gathers the network's gradient g_D, forms g_d = P^T g_D, lets any inner optimizer
move theta_d, and writes theta_0 + P theta_d into the parameters.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from operator import is_, itemgetter
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rlidim.errors import RlidimError, nearest
from rlidim.projections import from_spec
from rlidim.projections import projection as make_projection
from rlidim.projections.base import Projection, numbered
from rlidim.projections.spec import ProjectionSpec

WORD = torch.int64
CLIP_EPSILON = 1e-6  # as in torch.nn.utils.clip_grad_norm_
LARGE, SAMPLE = 2**13, 2**8  # a parameter's numbers, and of a large one's those compared each step
# What a parameter group may hold beside the inner optimizer's own: ours, and torch's schedulers'.
GROUP_KEYS = ("params", "param_names", "native", "lr")
SCHEDULER_KEYS = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr")


class Subspace:
    """A network's parameters seen as one vector, confined to theta_0 + P theta_d.

    The parameters keep their storages, and are copied into: they save, share and tie as before.
    Frozen ones (``requires_grad=False``) are left out of D and stay as they are; one given twice
    counts once. theta_0 is what the others hold at construction, in the order given.

    Attributes:
        parameters: those that are confined.
        projection: P.
        theta_0: (D,), frozen.
        theta_d: a parameter (d,), zero at first.
        gradient: g_D, (D,), as last gathered.

    Example:
        >>> import rlidim, torch
        >>> network = torch.nn.Linear(4, 2)
        >>> P = rlidim.projection("rademacher", 10, 3, seed=0)
        >>> subspace = rlidim.Subspace(network.parameters(), P)
        >>> subspace.theta_d.data += 1.0
        >>> subspace.write()
        >>> flat = torch.nn.utils.parameters_to_vector(network.parameters())
        >>> bool(torch.allclose(flat, subspace.theta_0 + P @ torch.ones(3)))
        True
    """

    def __init__(self, parameters: Iterable[nn.Parameter], projection: Projection) -> None:
        """Take the parameters over.

        Raises:
            RlidimError: the number of those not frozen is not the projection's D, they differ in
                dtype or device, or two of them share memory.
        """
        if not isinstance(projection, Projection):
            raise RlidimError(f"a Subspace needs a projection, got {projection!r:.60}")
        all_parameters = list(parameters)
        self.parameters = trainable(all_parameters)
        self._frozen = [parameter for parameter in all_parameters if not parameter.requires_grad]
        count = sum(parameter.numel() for parameter in self.parameters)
        if count != projection.D:
            without = " (the frozen ones left out)" if self._frozen else ""
            raise RlidimError(
                f"the network has {count} parameters, the projection {projection.D}{without}"
            )
        self.projection = projection
        self._check_kinds()
        _refuse_shared_memory(self.parameters)
        with torch.no_grad():
            self.theta_0 = torch.cat([parameter.reshape(-1) for parameter in self.parameters])
        self.theta_d = nn.Parameter(
            torch.zeros(projection.d, dtype=projection.dtype, device=self.theta_0.device)
        )
        self._lay_out(self.theta_0)
        self._bind()

    @property
    def given(self) -> list[nn.Parameter]:
        """The parameters that it was built of, those that are confined first, then the frozen."""
        return [*self.parameters, *self._frozen]

    def write(self) -> None:
        """Set the parameters to theta_0 + P theta_d."""
        self.projection.forward(self.theta_d.detach(), base=self.theta_0, out=self._flat)
        torch._foreach_copy_(self._targets, self._parts)
        if self._sampled:
            torch._foreach_copy_(self._kept_parts, self._glimpses)
        self._versions = [target._version for target in self._targets]

    @torch.no_grad()
    def pull(self) -> Tensor:
        """Return g_d = P^T g_D, (d,), of the parameters' gradients; a missing one counts as zero.

        Raises:
            RlidimError: the parameters are not what was last written: see :meth:`check`.
        """
        self.check()
        return self.projection.adjoint(self.gather())

    def gather(self) -> Tensor:
        """Copy the parameters' gradients into :attr:`gradient`, (D,), and return it."""
        gradients = [parameter.grad for parameter in self.parameters]
        if not all([g is not None and g.layout is torch.strided for g in gradients]):
            gradients = [
                self._zero.expand(part.shape) if g is None else g.to_dense()
                for g, part in zip(gradients, self._gradient_parts, strict=True)
            ]
        torch._foreach_copy_(self._gradient_parts, gradients)  # type: ignore[arg-type]
        return self.gradient

    def check(self) -> None:
        """Make sure that nobody else has moved the parameters out of the subspace.

        Storages and version counters say whether somebody wrote to them; numbers that are still
        those last written (swapped out and back, broadcast, moved to shared memory) do no harm.
        Edits of ``.data``, which no counter shows, are looked for on the CPU alone: in all of a
        parameter of less than ``LARGE`` numbers, in about ``SAMPLE``, evenly spread, of another.

        Raises:
            RlidimError: somebody has: a line search outside the optimizer (TRPO), a model loaded
                without its optimizer, a move to another device; or a parameter was frozen, or
                thawed, since the subspace was built.
        """
        frozen = not all([parameter.requires_grad for parameter in self.parameters])
        if frozen or any([parameter.requires_grad for parameter in self._frozen]):
            raise RlidimError(
                "a parameter was frozen, or thawed, after its subspace was built, whose D is "
                "fixed: set requires_grad before, or build the optimizer anew"
            )
        # On a GPU a comparison waits for all that was launched, and a recording (a CUDA graph)
        # must neither wait nor depend on a value: there counters alone are looked at each step,
        # values only where these differ, and in a recording not even then.
        on_gpu = self._flat.is_cuda
        if (
            [parameter._version for parameter in self.parameters] == self._versions
            and [parameter.data_ptr() for parameter in self.parameters] == self._pointers
            and (on_gpu or self._same_at_a_glance())
        ):
            return
        recording = on_gpu and torch.cuda.is_current_stream_capturing()
        if recording or not all(map(_same, self.parameters, self._parts)):
            raise RlidimError(
                "the parameters were changed outside the subspace since its last step (a line "
                "search, a loaded model, another device): load the optimizer's state too, or "
                "build it anew"
            )
        self._bind()

    def restore(self, theta_0: Tensor, theta_d: Tensor) -> None:
        """Set theta_0 and theta_d, both copied, and write the parameters.

        Raises:
            RlidimError: the parameters were moved to another device or dtype.
        """
        self._check_kinds()
        with torch.no_grad():
            self.theta_0.copy_(theta_0)
            self.theta_d.copy_(theta_d)
        self._bind()
        self.write()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs, without views and counters of this one's memory."""
        names = ("parameters", "_frozen", "projection", "theta_0", "theta_d", "_flat")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a copy's state; the first step compares the parameters with it."""
        self.__dict__.update(state)
        self._lay_out(self._flat)
        self._bind()
        self._versions = []

    def _lay_out(self, written: Tensor) -> None:
        """Make the vectors that the parameters are copied from, and their views."""
        self.gradient = torch.zeros_like(self.theta_0)
        self._zero = torch.zeros_like(self.theta_0[:1])  # of a parameter without gradient
        shapes = [parameter.shape for parameter in self.parameters]
        self._words, self._flat = _vector(written.numel(), written)
        self._flat.copy_(written)  # as last written
        self._parts = _parts(self._flat, shapes)
        self._gradient_parts = _parts(self.gradient, shapes)

    def _bind(self) -> None:
        """Take note of the parameters' storages as they are, which hold what was last written."""
        # Detached, they take what is written without autograd, and count it as the parameters do.
        self._targets = [parameter.detach() for parameter in self.parameters]
        self._versions = [target._version for target in self._targets]
        self._pointers = [target.data_ptr() for target in self._targets]
        watched = [] if self._flat.is_cuda else self.parameters
        self._glimpses: list[Tensor] = [_glimpse(parameter) for parameter in watched]
        shapes = [glimpse.shape for glimpse in self._glimpses]
        size = sum(shape.numel() for shape in shapes)
        self._sampled: bool = 0 < size < self._flat.numel()
        self._read_words, read_numbers = _vector(size, self._flat)
        self._read_parts = _parts(read_numbers, shapes)
        self._kept_words, kept_numbers = _vector(size, self._flat)
        self._kept_parts: list[Tensor] = _parts(kept_numbers, shapes)
        if self._sampled:
            torch._foreach_copy_(self._kept_parts, self._glimpses)
        else:
            self._kept_words = self._words  # all of it: nothing to keep apart

    def _same_at_a_glance(self) -> bool:
        torch._foreach_copy_(self._read_parts, self._glimpses)
        return torch.equal(self._read_words, self._kept_words)

    def _check_kinds(self) -> None:
        kinds = {(parameter.dtype, numbered(parameter.device)) for parameter in self.parameters}
        kind = (self.projection.dtype, self.projection.device)
        if kinds != {kind}:
            raise RlidimError(
                f"the parameters are {kinds}, the projection is {kind}: make them the same"
            )


class SubspaceOptimizer(Optimizer):
    """Trains a network in a random subspace, with any inner optimizer.

    Learning rates are native ones: with ``scale_lr`` theta_d moves at lr * sqrt(D / d), which makes
    an Adam step as long in parameter space as a native one. Schedules that set ``group["lr"]``
    therefore work as they are. All else in a group (``weight_decay``, ``betas``) is the inner
    optimizer's, at construction as later; in the confined group it acts on theta_d.

    Copied or pickled together with its network, it stays tied to it.

    Args:
        params: parameters, or parameter groups; a group with ``"native": True`` is trained as it
            is, at its own lr, by the same inner optimizer. There is one other group, the confined;
            what is frozen in it stays as it is.
        d: the subspace dimension; not needed with a ready projection.
        projection: a family's name or ``auto``, a specification, or a projection.
        seed: of P.
        lr: the native learning rate.
        inner: the optimizer class that moves theta_d.
        inner_kwargs: its further arguments.
        scale_lr: whether to transfer the learning rate. None: but for LBFGS, whose step of length 1
            is a Newton step in any space.
        max_grad_norm: clips g_d to this length; None does not.

    Raises:
        RlidimError: no or several confined groups, nothing in it to train, a group's key that the
            inner optimizer does not know, or what :class:`Subspace` raises.

    Example:
        >>> import rlidim, torch
        >>> network = torch.nn.Linear(4, 2)
        >>> optimizer = rlidim.SubspaceOptimizer(network.parameters(), d=3, seed=0, lr=1e-2)
        >>> network(torch.ones(1, 4)).square().sum().backward()
        >>> optimizer.step()
        >>> optimizer.theta_d.shape
        torch.Size([3])
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        d: int | None = None,
        projection: str | ProjectionSpec | Projection = "auto",
        seed: int = 0,
        lr: float = 1e-3,
        inner: type[Optimizer] = torch.optim.Adam,
        inner_kwargs: Mapping[str, Any] | None = None,
        scale_lr: bool | None = None,
        max_grad_norm: float | None = None,
    ) -> None:
        """Confine the parameters and build the inner optimizer."""
        _check_length("lr", lr, zero=True)
        if max_grad_norm is not None:
            _check_length("max_grad_norm", max_grad_norm)
        if not (isinstance(inner, type) and issubclass(inner, Optimizer)):
            raise RlidimError(
                f"inner must be a class of optimizers, as torch.optim.SGD is, got {inner!r:.60}"
            )
        try:
            given: list[Any] = list(params)
            if not given:
                raise RlidimError("there is nothing to train: params is empty")
            super().__init__(given, {"lr": lr, "native": False})
        except TypeError as error:
            raise RlidimError(f"params must be parameters, or groups of them: {error}") from error
        for group in self.param_groups:
            _check_length("lr", group["lr"], zero=True)
        confined = [group for group in self.param_groups if not group["native"]]
        if len(confined) != 1:
            raise RlidimError(f"one parameter group is confined to a subspace, got {len(confined)}")
        parameters = confined[0]["params"]
        self.subspace = Subspace(parameters, _project(trainable(parameters), projection, d, seed))
        P = self.subspace.projection
        if scale_lr is None:  # a quasi-Newton step has a length by itself
            scale_lr = not issubclass(inner, torch.optim.LBFGS)
        self.lr_factor = math.sqrt(P.D / P.d) if scale_lr else 1.0
        self.max_grad_norm = max_grad_norm
        self._length: Tensor | None = None  # of the last g_d before it was clipped
        try:
            self._kind, self._arguments = inner, dict(inner_kwargs or {})
            self.inner = self._build_inner()
        except (TypeError, ValueError) as error:
            raise RlidimError(f"inner_kwargs, for {inner.__name__}: {error}") from error
        defaults = {name: value for name, value in self.inner.defaults.items() if name != "lr"}
        self.defaults.update(defaults)
        self._known = tuple(defaults)
        self._read = itemgetter("native", "lr", *defaults)
        for group in self.param_groups:
            _refuse_unknown_keys(group, defaults)
            for name, value in defaults.items():
                group.setdefault(name, value)
        placeholder = (object(),) * (2 + len(defaults))
        self._carried: list[tuple[Any, ...]] = [placeholder] * len(self.param_groups)
        self._carry()

    @property
    def theta_d(self) -> nn.Parameter:
        """The trained vector, (d,)."""
        return self.subspace.theta_d

    @property
    def gradient_share(self) -> float | None:
        """How much of the last step's gradient lay in the subspace: |g_d| / |g_D|, unclipped.

        None before the first step, and where the gradient was zero.
        """
        full_length = float(torch.linalg.vector_norm(self.subspace.gradient))
        if self.theta_d.grad is None or full_length == 0.0:
            return None
        length = self._length
        if length is None:
            length = torch.linalg.vector_norm(self.theta_d.grad)
        return float(length) / full_length

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step of the inner optimizer and write the parameters.

        Raises:
            RlidimError: the parameters are not where the last step left them.
        """
        self._carry()
        if closure is None:
            self._pull()
            loss = self.inner.step()
        else:
            loss = self.inner.step(self._evaluation(closure))
        self.subspace.write()
        return loss

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group during construction.

        Raises:
            RlidimError: at any later time: P's size is fixed.
        """
        if hasattr(self, "subspace"):
            raise RlidimError("a SubspaceOptimizer's parameter groups are fixed: build it anew")
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs: theta_0, theta_d, P's name, inner state.

        The confined group lists no parameters: a native optimizer then refuses the state, instead
        of going on outside the subspace.
        """
        self._carry()  # what a scheduler has set since the last step is the inner one's too
        outer = super().state_dict()
        for group in outer["param_groups"]:
            if not group["native"]:
                group["params"] = []
        return {
            **outer,
            "subspace": {
                "spec": self.subspace.projection.spec.to_json(),
                "theta_0": self.subspace.theta_0.clone(),
                "theta_d": self.theta_d.detach().clone(),
            },
            "inner": self.inner.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Undo :meth:`state_dict` and write the parameters; P becomes the saved one.

        Where the network has moved to another device or dtype since its subspace was built, as a
        loaded model does, the subspace follows.

        Raises:
            RlidimError: the state is another kind of optimizer's, or of another size.
        """
        spec, groups = self._checked(state_dict)
        P, first = self.subspace.projection, self.subspace.parameters[0]
        moved = (first.dtype, numbered(first.device)) != (P.dtype, P.device)
        if moved or spec != P.spec:
            P = from_spec(spec, dtype=first.dtype, device=first.device)
        if not moved:
            self.subspace._check_kinds()
        # All that may be refused is behind; from here on there are changes.
        subspace = Subspace(self.subspace.given, P) if moved else self.subspace
        super().load_state_dict({"state": state_dict["state"], "param_groups": groups})
        if moved:
            self.subspace = subspace
            self.inner = self._build_inner()
        self.subspace.projection = P
        self.inner.load_state_dict(state_dict["inner"])
        for outer, inner in zip(self.param_groups, self.inner.param_groups, strict=True):
            for name in self._known:  # older states have them in the inner groups alone
                outer.setdefault(name, inner[name])
        self._carried = list(map(self._read, self.param_groups))
        saved = state_dict["subspace"]
        self.subspace.restore(saved["theta_0"], saved["theta_d"])

    def _checked(self, state: Mapping[str, Any]) -> tuple[ProjectionSpec, list[dict[str, Any]]]:
        """Return the P that a state names, and its groups with the parameters of this optimizer's.

        Raises:
            RlidimError: it is another kind of optimizer's, or of another size.
        """
        try:
            saved, groups, inner = state["subspace"], state["param_groups"], state["inner"]
            spec = ProjectionSpec.from_json(saved["spec"])
            vectors = [saved[name] for name in ("theta_0", "theta_d")]
            natives = _natives(groups)
            sizes = [len(group["params"]) for group in inner["param_groups"]]
            _ = state["state"], inner["state"]
            if not all(isinstance(vector, Tensor) for vector in vectors):
                raise TypeError("theta_0 and theta_d are tensors")
        except (KeyError, TypeError, AttributeError) as error:
            raise RlidimError("this state is not a SubspaceOptimizer's") from error
        shapes = [tuple(vector.shape) for vector in vectors]
        P, ours = self.subspace.projection, super().state_dict()["param_groups"]
        if (spec.D, spec.d) != (P.D, P.d) or shapes != [(P.D,), (P.d,)]:
            raise RlidimError(
                f"this state is of a {spec.D} x {spec.d} projection, theta_0 {shapes[0]} and "
                f"theta_d {shapes[1]}; the optimizer's is {P.D} x {P.d}"
            )
        if natives != _natives(ours):
            raise RlidimError(
                f"this state is of {len(groups)} parameter groups, the optimizer has {len(ours)}, "
                "or other ones are native, or of other sizes"
            )
        if sizes != [len(group["params"]) for group in self.inner.param_groups]:
            raise RlidimError("this state's inner optimizer has other groups than the state itself")
        trial = self._build_inner()  # which completes what an older torch has saved
        trial.load_state_dict(copy.deepcopy(inner))
        for name in self._known:
            if any(name not in group for group in trial.param_groups):
                raise RlidimError(
                    f"this state's inner optimizer knows no '{name}': it is no "
                    f"{self._kind.__name__}"
                )
        return spec, [
            group if group["native"] else {**group, "params": own["params"]}
            for group, own in zip(groups, ours, strict=True)
        ]

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: torch's own state, the subspace and the inner optimizer's."""
        self._carry()
        attributes = ("subspace", "lr_factor", "max_grad_norm", "_length")
        of_inner = ("_kind", "_arguments", "_known", "_read")
        return {
            **super().__getstate__(),
            **{name: getattr(self, name) for name in (*attributes, *of_inner)},
            "inner": self.inner.state_dict(),  # torch pickles no attribute that a class adds
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a copy's state, or what :meth:`load_state_dict` gives."""
        inner = state.get("inner")
        super().__setstate__({name: value for name, value in state.items() if name != "inner"})
        if inner is not None:
            self.inner = self._build_inner()
            self.inner.load_state_dict(inner)
            self._carried = list(map(self._read, self.param_groups))

    def _build_inner(self) -> Optimizer:
        groups = [
            {"params": group["params"] if group["native"] else [self.theta_d], "lr": group["lr"]}
            for group in self.param_groups
        ]
        return self._kind(groups, **self._arguments)

    def _carry(self) -> None:
        """Carry the groups' changes over to the inner optimizer, which may count in its own."""
        for index, (outer, inner) in enumerate(
            zip(self.param_groups, self.inner.param_groups, strict=True)
        ):
            values, carried = self._read(outer), self._carried[index]
            if not all(map(is_, values, carried)):
                changes = zip(self._known, values[2:], carried[2:], strict=True)
                inner.update({name: now for name, now, before in changes if now is not before})
                self._carried[index] = values
            inner["lr"] = outer["lr"] if outer["native"] else outer["lr"] * self.lr_factor

    def _pull(self) -> None:
        """Set theta_d's gradient."""
        gradient = self.subspace.pull()
        self._length = None
        if self.max_grad_norm is not None:
            self._length = length = torch.linalg.vector_norm(gradient)
            gradient.mul_((self.max_grad_norm / (length + CLIP_EPSILON)).clamp(max=1.0))
        self.theta_d.grad = gradient

    def _evaluation(self, closure: Callable[[], float]) -> Callable[[], float]:
        """Return a closure for the inner optimizer, which may try several theta_d in a step."""
        calls = itertools.count()

        def evaluate() -> float:
            if next(calls):  # at first the parameters are where the last step left them
                self.subspace.write()
            with torch.enable_grad():
                loss = closure()
            self._pull()
            return loss

        return evaluate


def trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters that are not frozen, each once."""
    return list(dict.fromkeys(parameter for parameter in parameters if parameter.requires_grad))


def _natives(groups: Iterable[Mapping[str, Any]]) -> list[int | None]:
    """Return how many parameters each group has; None of the confined one, which lists none."""
    return [len(group["params"]) if group["native"] else None for group in groups]


def _vector(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return zeros as 64-bit words and, in the same memory, as a vector (size,) like a tensor.

    Words compare fast, and to the bit: a NaN equals itself.
    """
    words = math.ceil(size * like.itemsize / WORD.itemsize)
    zeros = torch.zeros(words, dtype=WORD, device=like.device)
    return zeros, zeros.view(like.dtype)[:size]


def _parts(vector: Tensor, shapes: Iterable[torch.Size]) -> list[Tensor]:
    """Return views of a vector, one of each shape."""
    stops = itertools.accumulate(shape.numel() for shape in shapes)
    return [
        vector[stop - shape.numel() : stop].view(shape)
        for shape, stop in zip(shapes, stops, strict=True)
    ]


def _glimpse(parameter: nn.Parameter) -> Tensor:
    """Return a view of a parameter's numbers; of a large one's, of an evenly spread sample.

    The stride is odd, so that it falls on every column of a matrix of 2^n.
    """
    numbers = parameter.detach()
    if parameter.numel() < LARGE or not parameter.is_contiguous():
        return numbers
    return numbers.view(-1)[:: parameter.numel() // SAMPLE | 1]


def _same(parameter: Tensor, part: Tensor) -> bool:
    """Say whether two tensors are equal to the bit: a NaN equals itself."""
    kinds = [(tensor.shape, tensor.dtype, tensor.device) for tensor in (parameter, part)]
    bits = torch.int32 if part.itemsize == torch.int32.itemsize else torch.int64
    return kinds[0] == kinds[1] and torch.equal(parameter.detach().view(bits), part.view(bits))


def _refuse_shared_memory(parameters: list[nn.Parameter]) -> None:
    """Refuse parameters that share memory: writing one would change the other."""
    spans = []
    for parameter in parameters:
        if parameter.numel():
            steps = zip(parameter.shape, parameter.stride(), strict=True)
            last = sum((size - 1) * stride for size, stride in steps)
            first = parameter.data_ptr()
            spans.append((first, first + (last + 1) * parameter.itemsize, tuple(parameter.shape)))
    spans.sort()
    for (_, stop, shape), (start, _, second) in itertools.pairwise(spans):
        if start < stop:
            raise RlidimError(
                f"two parameters, of shapes {shape} and {second}, share memory: tie the modules "
                "instead, second.weight = first.weight"
            )


def _check_length(name: str, value: Any, *, zero: bool = False) -> None:
    """Refuse what is no length of a step or a gradient: negative, NaN or infinite."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise RlidimError(f"{name} must be a number, got {value!r:.60}") from error
    if (
        isinstance(value, str)
        or not math.isfinite(number)
        or number < 0
        or (number == 0 and not zero)
    ):
        least = "at least 0" if zero else "above 0"
        raise RlidimError(f"{name} must be finite and {least}, got {value!r:.60}")


def _refuse_unknown_keys(group: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse a key that neither the optimizers nor torch's schedulers read."""
    names = (*GROUP_KEYS, *known)
    for name in group:
        if name not in names and name not in SCHEDULER_KEYS:
            raise RlidimError(f"unknown key '{name}' in a parameter group{nearest(name, names)}")


def _project(
    parameters: list[nn.Parameter],
    choice: str | ProjectionSpec | Projection,
    d: int | None,
    seed: int,
) -> Projection:
    """Return the projection that an optimizer's arguments mean.

    Raises:
        RlidimError: all parameters are frozen, or d is missing, or not the projection's.
    """
    if not parameters:
        raise RlidimError("no parameter to confine: all are frozen (requires_grad=False)")
    if not isinstance(choice, (str, ProjectionSpec, Projection)):
        raise RlidimError(
            f"projection must be a family's name, a specification, or a projection, got {choice!r}"
        )
    if not isinstance(choice, str) and d is not None and d != choice.d:
        raise RlidimError(f"d = {d:,} beside a projection of d = {choice.d:,}: leave d out")
    if isinstance(choice, Projection):
        return choice
    first = parameters[0]
    if isinstance(choice, ProjectionSpec):
        return from_spec(choice, dtype=first.dtype, device=first.device)
    if d is None:
        raise RlidimError("SubspaceOptimizer needs d, the subspace dimension")
    D = sum(parameter.numel() for parameter in parameters)
    return make_projection(choice, D, d, seed, dtype=first.dtype, device=first.device)
