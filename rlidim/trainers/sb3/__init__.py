"""Stable-Baselines3's algorithms in a subspace."""
