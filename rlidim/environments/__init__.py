"""Environments: where a policy acts; ``rlidim.environments:OneStep-v0`` is registered here."""

import rlidim.environments.one_step  # noqa: F401
