"""Sweeps: which runs to make, so that they decide d_int90."""
