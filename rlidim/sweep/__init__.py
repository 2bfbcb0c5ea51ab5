"""Sweeps over d: the choice of the runs that decide d_int90."""
