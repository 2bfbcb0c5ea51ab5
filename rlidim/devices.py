"""Where networks that are worth a GPU are: classifiers, and policies on frames."""

from __future__ import annotations

import torch


def device() -> torch.device:
    """Return the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
