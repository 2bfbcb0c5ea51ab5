"""CrossQ with a plain actor (Bhatt et al. 2024, "CrossQ: Batch Normalization in Deep RL").

What lets it do without target networks are normalised batches in the critic. The actor's own would
act by statistics besides its parameters; without them it is the perceptron that every trainer here
moves, and a solution is theta_d alone.
"""

from __future__ import annotations

from sb3_contrib.crossq.policies import Actor, CrossQPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor


class PlainActorPolicy(CrossQPolicy):
    """CrossQ's policy whose actor has no normalisation."""

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """Build the actor."""
        arguments = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return Actor(**{**arguments, "batch_norm": False}).to(self.device)
