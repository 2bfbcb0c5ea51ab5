"""Random projections P from a subspace to a network's parameters, and their registry."""

import rlidim.projections.operators  # noqa: F401  (registers torch.ops.rlidim)
from rlidim.projections.making import check_family as check_family
from rlidim.projections.making import from_spec as from_spec
from rlidim.projections.making import projection as projection
