"""From scores to d_int90 with its 95 % interval; needs numpy and scipy alone."""
