"""DeepMind Control's models (Tassa et al. 2018) without their pictures, which no policy here sees.

MuJoCo paints a model's textures when it loads it. Those of a sky, six faces of 800 x 800 pixels,
are nearly all that the making of an environment takes: 0.1 s, where the rest takes 2 ms.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from tempfile import TemporaryDirectory

MODELS = Path("mujoco", "assets_dmc")  # below EnvPool's assets
SIZE = re.compile(r"(?<=\s)(width|height)=\"\d+\"")
TEXTURE = re.compile(r"<texture\s[^>]*>")


def unpainted(assets: str) -> str:
    """Return a folder like that of EnvPool's assets, with textures of one pixel in the models.

    It has no other assets than the models and what they load, and goes when the process does.
    """
    return _made(assets).name


@functools.cache
def _made(assets: str) -> TemporaryDirectory[str]:
    made = TemporaryDirectory(prefix="rlidim-models-")
    models, copies = Path(assets) / MODELS, Path(made.name) / MODELS
    for folder in (Path(), Path("common")):
        (copies / folder).mkdir(parents=True)
        for entry in (models / folder).iterdir():
            copy = copies / folder / entry.name
            if entry.suffix == ".xml":
                copy.write_text(_in_one_pixel(entry.read_text(encoding="utf-8")), encoding="utf-8")
            elif entry.name != "common":
                copy.symlink_to(entry)
    return made


def _in_one_pixel(model: str) -> str:
    return TEXTURE.sub(lambda texture: SIZE.sub(r'\1="1"', texture[0]), model)
