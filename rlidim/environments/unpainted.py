"""DeepMind Control's models (Tassa et al. 2018) without their pictures, which no policy here sees.

MuJoCo paints a model's textures when it loads it. Those of a sky, six faces of 800 x 800 pixels,
are nearly all that the making of an environment takes: 0.1 s, where the rest takes 2 ms.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
from pathlib import Path
from tempfile import mkdtemp

from rlidim.data import home
from rlidim.data.cache import writing

MODELS = Path("mujoco", "assets_dmc")  # below EnvPool's assets
FOLDERS = (Path(), Path("common"))  # of them, with models of their own
SIZE = re.compile(r"(?<=\s)(width|height)=\"\d+\"")
TEXTURE = re.compile(r"<texture\s[^>]*>")


@functools.cache
def unpainted(assets: str) -> str:
    """Return a folder like that of EnvPool's assets, with textures of one pixel in the models.

    It has no other assets than the models and what they load, and stays in the cache: worker
    processes, which may be killed at any time, share it.

    Raises:
        RlidimError: the cache cannot be written.
    """
    models = {
        folder / entry.name: entry
        for folder in FOLDERS
        for entry in sorted((Path(assets) / MODELS / folder).iterdir())
        if entry.name not in map(str, FOLDERS)
    }
    written = {
        name: _in_one_pixel(entry.read_text(encoding="utf-8")).encode()
        for name, entry in models.items()
        if entry.suffix == ".xml"
    }
    digest = hashlib.sha256(assets.encode())
    for name, content in written.items():
        digest.update(str(name).encode() + content)
    kept = home.folder() / f"models-{digest.hexdigest()[:16]}"
    if not kept.exists():
        with writing(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
            _keep(kept, models, written)
    return str(kept)


def _keep(kept: Path, models: dict[Path, Path], written: dict[Path, bytes]) -> None:
    """Make the folder in one piece, whoever else may be making it."""
    made = Path(mkdtemp(dir=kept.parent, prefix=f".{kept.name}-"))
    try:
        for name, entry in models.items():
            copy = made / MODELS / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if name in written:
                copy.write_bytes(written[name])
            else:
                copy.symlink_to(entry)
        made.rename(kept)
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
        if not kept.exists():
            raise


def _in_one_pixel(model: str) -> str:
    return TEXTURE.sub(lambda texture: SIZE.sub(r'\1="1"', texture[0]), model)
