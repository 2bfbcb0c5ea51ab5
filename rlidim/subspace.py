"""A subspace is an optimizer: theta_D = theta_0 + P theta_d, and only theta_d is trained.

Li et al. 2018, section 2. The network keeps its ordinary parameters, so every trainer works
unchanged: a step gathers the native gradient g_D, forms g_d = P^T g_D, lets any inner optimizer
move theta_d, and writes theta_0 + P theta_d back in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rlidim.errors import RlidimError
from rlidim.projections import from_spec
from rlidim.projections import projection as make_projection
from rlidim.projections.base import Projection, ProjectionSpec

CLIP_EPSILON = 1e-6  # as in torch.nn.utils.clip_grad_norm_


class Subspace:
    """A network's parameters seen as one vector, confined to theta_0 + P theta_d.

    The parameters become views of one flat buffer, in the order given, so that a write is one
    pass. theta_0 is what they hold at construction.

    Attributes:
        projection: P.
        theta_0: (D,), frozen.
        theta_d: a parameter (d,), zero at first.
        gradient: (D,), the native gradient, as last gathered.

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
            RlidimError: their number is not the projection's D, or they differ in dtype or device.
        """
        self.parameters = list(parameters)
        count = sum(parameter.numel() for parameter in self.parameters)
        if count != projection.D:
            raise RlidimError(f"the network has {count} parameters, the projection {projection.D}")
        kinds = {(parameter.dtype, parameter.device.type) for parameter in self.parameters}
        if kinds != {(projection.dtype, projection.device.type)}:
            raise RlidimError(
                f"the parameters are {kinds}, the projection is "
                f"{(projection.dtype, projection.device.type)}: make them the same"
            )
        self.projection = projection
        with torch.no_grad():
            self._flat = torch.cat([parameter.reshape(-1) for parameter in self.parameters])
        self.theta_0 = self._flat.clone()
        self.theta_d = nn.Parameter(
            torch.zeros(projection.d, dtype=projection.dtype, device=self._flat.device)
        )
        self.gradient = torch.zeros_like(self._flat)
        self._zeros: dict[int, Tensor] = {}
        self._pointers: list[int] = []
        self._versions: list[int] = []
        start = 0
        for parameter in self.parameters:
            stop = start + parameter.numel()
            parameter.data = self._flat[start:stop].view_as(parameter)
            start = stop
        self._remember()

    @torch.no_grad()
    def write(self) -> None:
        """Set the parameters to theta_0 + P theta_d."""
        self.projection.forward(self.theta_d.detach(), base=self.theta_0, out=self._flat)
        self._remember()

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
        gradients = [
            self._zero(parameter) if parameter.grad is None else parameter.grad.reshape(-1)
            for parameter in self.parameters
        ]
        return torch.cat(gradients, out=self.gradient)

    def check(self) -> None:
        """Make sure that nobody else has moved the parameters out of the subspace.

        Looks at storage and version counters, not at D numbers.

        Raises:
            RlidimError: somebody has: a line search outside the optimizer (TRPO), a model loaded
                without its optimizer, a move to another device.
        """
        for parameter, pointer, version in zip(
            self.parameters, self._pointers, self._versions, strict=True
        ):
            if parameter.data_ptr() != pointer or parameter._version != version:
                raise RlidimError(
                    "the parameters were changed outside the subspace since its last step (a line "
                    "search, a loaded model, another device): load the optimizer's state too, or "
                    "build it anew"
                )

    def restore(self, theta_0: Tensor, theta_d: Tensor) -> None:
        """Set theta_0 and theta_d, both copied, and write the parameters."""
        with torch.no_grad():
            start = 0
            for parameter in self.parameters:
                stop = start + parameter.numel()
                parameter.data = self._flat[start:stop].view_as(parameter)
                start = stop
            self.theta_0.copy_(theta_0)
            self.theta_d.copy_(theta_d)
        self.write()

    def _remember(self) -> None:
        self._pointers = [parameter.data_ptr() for parameter in self.parameters]
        self._versions = [parameter._version for parameter in self.parameters]

    def _zero(self, parameter: nn.Parameter) -> Tensor:
        size = parameter.numel()
        if size not in self._zeros:
            self._zeros[size] = torch.zeros(size, dtype=parameter.dtype, device=parameter.device)
        return self._zeros[size]


class SubspaceOptimizer(Optimizer):
    """Trains a network in a random subspace, with any inner optimizer.

    Learning rates are native ones: with ``scale_lr`` theta_d moves at lr * sqrt(D / d), which makes
    an Adam step as long in parameter space as a native one. Schedules that set ``group["lr"]``
    therefore work as they are.

    Args:
        params: parameters, or parameter groups; a group with ``"native": True`` is trained as it
            is, at its own lr, by the same inner optimizer. There is one other group, the confined.
        d: the subspace dimension; not needed with a ready projection.
        projection: a family's name or ``auto``, a specification, or a projection.
        seed: of P.
        lr: the native learning rate.
        inner: the optimizer class that moves theta_d.
        inner_kwargs: its further arguments.
        scale_lr: whether to transfer the learning rate.
        max_grad_norm: clips g_d to this length; None does not.

    Raises:
        RlidimError: no or several confined groups, or what :class:`Subspace` raises.

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
        scale_lr: bool = True,
        max_grad_norm: float | None = None,
    ) -> None:
        """Confine the parameters and build the inner optimizer."""
        super().__init__(params, {"lr": lr, "native": False})
        confined = [group for group in self.param_groups if not group["native"]]
        if len(confined) != 1:
            raise RlidimError(f"one parameter group is confined to a subspace, got {len(confined)}")
        self._confined = confined[0]
        parameters = self._confined["params"]
        self.subspace = Subspace(parameters, _project(parameters, projection, d, seed))
        P = self.subspace.projection
        self.lr_factor = math.sqrt(P.D / P.d) if scale_lr else 1.0
        self.max_grad_norm = max_grad_norm
        groups = [
            {"params": group["params"] if group["native"] else [self.theta_d], "lr": group["lr"]}
            for group in self.param_groups
        ]
        self.inner = inner(groups, **(inner_kwargs or {}))
        self._length: Tensor | None = None  # of the last g_d before it was clipped
        self._transfer_learning_rates()

    @property
    def theta_d(self) -> nn.Parameter:
        """The trained vector, (d,)."""
        return self.subspace.theta_d

    @property
    def gradient_share(self) -> float | None:
        """How much of the last step's gradient lay in the subspace: |g_d| / |g_D|, unclipped.

        None before the first step, and where the gradient was zero.
        """
        native = float(torch.linalg.vector_norm(self.subspace.gradient))
        if self.theta_d.grad is None or native == 0.0:
            return None
        length = self._length
        if length is None:
            length = torch.linalg.vector_norm(self.theta_d.grad)
        return float(length) / native

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step of the inner optimizer and write the parameters.

        Raises:
            RlidimError: the parameters are not where the last step left them.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradient = self.subspace.pull()
        self._length = None
        if self.max_grad_norm is not None:
            self._length = length = torch.linalg.vector_norm(gradient)
            gradient.mul_((self.max_grad_norm / (length + CLIP_EPSILON)).clamp(max=1.0))
        self.theta_d.grad = gradient
        self._transfer_learning_rates()
        self.inner.step()
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
        """Return everything that a resumed run needs: theta_0, theta_d, P's name, inner state."""
        return {
            **super().state_dict(),
            "subspace": {
                "spec": self.subspace.projection.spec.to_json(),
                "theta_0": self.subspace.theta_0.clone(),
                "theta_d": self.theta_d.detach().clone(),
            },
            "inner": self.inner.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Undo :meth:`state_dict` and write the parameters; P becomes the saved one.

        Raises:
            RlidimError: the state is another kind of optimizer's, or of another size.
        """
        if "subspace" not in state_dict:
            raise RlidimError("this state is not a SubspaceOptimizer's")
        saved = state_dict["subspace"]
        spec = ProjectionSpec.from_json(saved["spec"])
        P = self.subspace.projection
        if (spec.D, spec.d) != (P.D, P.d):
            raise RlidimError(
                f"this state is of a {spec.D} x {spec.d} projection, the optimizer's is "
                f"{P.D} x {P.d}"
            )
        super().load_state_dict(
            {key: state_dict[key] for key in ("state", "param_groups")},
        )
        self._confined = next(group for group in self.param_groups if not group["native"])
        if spec != P.spec:
            self.subspace.projection = from_spec(spec, dtype=P.dtype, device=P.device)
        self.inner.load_state_dict(state_dict["inner"])
        self.subspace.restore(saved["theta_0"], saved["theta_d"])

    def _transfer_learning_rates(self) -> None:
        for outer, inner in zip(self.param_groups, self.inner.param_groups, strict=True):
            inner["lr"] = outer["lr"] if outer["native"] else outer["lr"] * self.lr_factor


def _project(
    parameters: list[nn.Parameter],
    choice: str | ProjectionSpec | Projection,
    d: int | None,
    seed: int,
) -> Projection:
    """Return the projection that an optimizer's arguments mean."""
    if isinstance(choice, Projection):
        return choice
    first = parameters[0]
    if isinstance(choice, ProjectionSpec):
        return from_spec(choice, dtype=first.dtype, device=first.device)
    if d is None:
        raise RlidimError("SubspaceOptimizer needs d, the subspace dimension")
    D = sum(parameter.numel() for parameter in parameters)
    return make_projection(choice, D, d, seed, dtype=first.dtype, device=first.device)
