"""Environments: where a policy acts; those of the suite's own are registered here."""

import rlidim.environments.one_step
import rlidim.environments.pole  # noqa: F401
