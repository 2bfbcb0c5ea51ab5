"""The cache's folder: where what was downloaded or worked out is kept for this user."""

from __future__ import annotations

import os
from pathlib import Path

from rlidim.errors import RlidimError


def folder() -> Path:
    """Return the cache's folder: RLIDIM_CACHE, or ``rlidim`` in XDG_CACHE_HOME or ``~/.cache``.

    Raises:
        RlidimError: this user has no home.
    """
    own = os.environ.get("RLIDIM_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME", "")
    try:
        if own:
            return Path(own).expanduser().absolute()
        # The XDG specification has relative paths ignored.
        base = Path(shared) if os.path.isabs(shared) else Path.home() / ".cache"
    except RuntimeError as error:
        raise RlidimError(f"no folder for the cache ({error}): set RLIDIM_CACHE to one") from error
    return base / "rlidim"
