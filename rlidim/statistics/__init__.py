"""Estimation of d_int90 and its 95 % interval from scores; needs numpy and scipy alone."""
