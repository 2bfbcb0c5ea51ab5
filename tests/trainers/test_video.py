"""Videos are whole or not there, and what goes wrong is told as what it is."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.solutions.video import check_writer, filming

FRAME = np.full((32, 48, 3), 100, np.uint8)
both = pytest.mark.parametrize("kind", [".gif", ".mp4"])


@pytest.fixture(autouse=True)
def _writers() -> None:
    pytest.importorskip("imageio_ffmpeg")


@both
def test_frames_become_a_video(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a{kind}"
    with filming(path, 30) as keep:
        for level in range(25):
            keep(FRAME + np.uint8(level))
        assert not path.exists()
    assert path.stat().st_size > 100
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@both
@pytest.mark.parametrize("frames", [0, 1, 5])
def test_nothing_is_left_of_one_that_failed(tmp_path: Path, kind: str, frames: int) -> None:
    def failing() -> None:
        with filming(tmp_path / f"a{kind}", 30) as keep:
            for _ in range(frames):
                keep(FRAME)
            raise FileNotFoundError("mine")

    with pytest.raises(FileNotFoundError, match="mine"):  # no word of the video
        failing()
    time.sleep(0.5)  # another process would have written its file by now
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "a.gif"
    with pytest.raises(RlidimError, match=r"--video .*absent"), filming(path, 30) as keep:
        keep(FRAME)


def test_a_missing_writer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    check_writer(Path("a.gif"))
    with pytest.raises(RlidimError, match="needs imageio_ffmpeg: pip install"):
        check_writer(Path("a.mp4"))
