"""Data sets: verified before opened, downloaded once, whole or not at all, mapped ever after."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import http.server
import io
import multiprocessing
import os
import pickle
import re
import struct
import tarfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from rlidim.cli import doctor
from rlidim.data import cache, datasets, download, formats, home, places
from rlidim.data.sources import SOURCES, Edition, File, Source
from rlidim.errors import RlidimError

REAL = os.environ.get("RLIDIM_DATA")  # before the fixtures take it away
IDX_NAMES = tuple(file.name for file in SOURCES["mnist"].editions[0].files)
BATCH_NAMES = tuple(file.name for file in SOURCES["cifar10"].editions[2].files)
ARCHIVE = "cifar-10-python.tar.gz"


class Server(http.server.ThreadingHTTPServer):
    """Serves ``/<behaviour>/<name>`` and notes what it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.closing = threading.Event()

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        _, behaviour, name = self.path.split("/")
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        content = self.server.files[name]
        if behaviour in ("404", "500"):
            self.send_error(int(behaviour))
            return
        if behaviour == "hang":
            self.server.closing.wait(20)
            return
        if behaviour == "slow":
            time.sleep(0.2)
        if behaviour == "wrong":
            content = bytes(byte ^ 1 for byte in content)
        if behaviour == "page":
            content = b"<html>Please log in</html>"
        start = 0
        if wanted and behaviour not in ("noranges", "half", "stall"):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if behaviour == "refuses" or start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            stated = 0 if behaviour == "confused" else start
            self.send_header("Content-Range", f"bytes {stated}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if behaviour == "endless":
            self.end_headers()
            while not self.server.closing.wait(0.01):
                self.wfile.write(b"x" * len(content))
            return
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if behaviour in ("half", "stall", "cut"):  # "cut" goes on where it stopped
            rest = rest[: max(1, len(content) // 2)]
        self.wfile.write(rest)
        if behaviour == "stall":
            self.server.closing.wait(20)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLIDIM_DATA", raising=False)
    monkeypatch.setenv("RLIDIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def idx(array: np.ndarray) -> bytes:
    header = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def idx_files() -> dict[str, bytes]:
    """Return 30 + 10 images of 5 x 4 that do not compress away."""
    random = np.random.default_rng(0)
    contents = (
        random.integers(256, size=(30, 5, 4), dtype=np.uint8),
        random.integers(10, size=30, dtype=np.uint8),
        random.integers(256, size=(10, 5, 4), dtype=np.uint8),
        random.integers(10, size=10, dtype=np.uint8),
    )
    return {
        name: gzip.compress(idx(array), mtime=0)
        for name, array in zip(IDX_NAMES, contents, strict=True)
    }


def small_mnist(contents: dict[str, bytes], *mirrors: str) -> Source:
    files = tuple(
        File(name, (sha256(content),), len(content), tuple(url + name for url in mirrors))
        for name, content in contents.items()
    )
    return Source((Edition("idx", files),), ("mnist",), (1, 5, 4), 30, 10)


def batches() -> dict[str, bytes]:
    """Return six batches of 4 images of 3 x 2 x 2."""
    random = np.random.default_rng(1)
    return {
        name: pickle.dumps(
            {
                b"data": random.integers(256, size=(4, 12), dtype=np.uint8),
                b"labels": random.integers(10, size=4).tolist(),
            },
            protocol=4,
        )
        for name in BATCH_NAMES
    }


def packed(contents: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def small_cifar10(contents: dict[str, bytes], archive: bytes, *mirrors: str) -> Source:
    members = tuple(File(name, (sha256(content),)) for name, content in contents.items())
    file = File(ARCHIVE, (sha256(archive),), len(archive), tuple(url + ARCHIVE for url in mirrors))
    return dataclasses.replace(
        SOURCES["cifar10"],
        editions=(Edition("archive", (file,), members), Edition("batches", members)),
        shape=(3, 2, 2),
        train=20,
        test=4,
    )


def in_folder(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {f"cifar-10-batches-py/{name}": content for name, content in contents.items()}


def put(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


@pytest.fixture
def mnist(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what puts a small MNIST, served by the named mirrors, in the place of the real."""
    server.files = idx_files()

    def use(*behaviours: str) -> Source:
        source = small_mnist(server.files, *map(server.url, behaviours))
        monkeypatch.setitem(SOURCES, "mnist", source)
        return source

    return use


def check_mnist(found: datasets.DataSet) -> None:
    contents = [gzip.decompress(content) for content in idx_files().values()]
    assert found.train_images.shape == (30, 1, 5, 4)
    assert found.test_images.shape == (10, 1, 5, 4)
    assert found.train_images.tobytes() == contents[0][16:]
    assert found.train_labels.tobytes() == contents[1][8:]
    assert found.test_images.tobytes() == contents[2][16:]
    assert found.test_labels.tobytes() == contents[3][8:]
    assert (found.name, found.classes) == ("mnist", 10)
    assert not found.train_images.flags.writeable


def failure(name: str = "mnist") -> str:
    with pytest.raises(RlidimError) as raised:
        datasets.load(name)
    message = str(raised.value)
    assert "\n" not in message
    return message


def left(folder: Path) -> list[str]:
    """Return the cache's files, the locks left out."""
    return sorted(
        path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"
    )


def test_an_unknown_name_gets_the_nearest() -> None:
    assert failure("cifar-10") == "unknown data set 'cifar-10' (did you mean 'cifar10'?)"


def test_the_table_is_complete() -> None:
    assert tuple(SOURCES) == datasets.NAMES
    for source in SOURCES.values():
        for file in source.editions[0].files:
            assert file.size > 0
            assert len(file.mirrors) >= 2
            assert all(re.fullmatch(r"https://\S+/" + file.name, url) for url in file.mirrors)
        for edition in source.editions:
            assert edition.format in formats.DECODERS
            for file in (*edition.files, *edition.members):
                assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in file.sha256)
    checksums = [
        checksum
        for source in SOURCES.values()
        for file in {file for edition in source.editions for file in edition.files}
        for checksum in file.sha256
    ]
    assert len(checksums) == len(set(checksums)) == 20


def test_downloaded_once_and_mapped_ever_after(mnist: Any, server: Server) -> None:
    mnist("right")
    check_mnist(datasets.load("mnist"))
    assert len(server.asked) == 4
    again = datasets.load("mnist")
    check_mnist(again)
    assert len(server.asked) == 4
    assert isinstance(again.train_images.base, np.memmap)


@pytest.mark.parametrize("damage", ["short", "empty", "gone", "another array"])
def test_damaged_arrays_are_made_again_from_what_was_downloaded(
    damage: str, mnist: Any, server: Server, tmp_path: Path
) -> None:
    mnist("right")
    datasets.load("mnist")
    (path,) = tmp_path.rglob("train_images.npy")
    if damage == "short":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "gone":
        path.unlink()
    else:
        np.save(path, np.zeros((30, 1, 5, 5), dtype=np.uint8))
    check_mnist(datasets.load("mnist"))
    assert len(server.asked) == 4


def test_a_damaged_download_is_made_again(mnist: Any, server: Server, tmp_path: Path) -> None:
    source = mnist("right")
    datasets.load("mnist")
    (tmp_path / "cache/downloads/mnist" / IDX_NAMES[1]).write_bytes(b"rot")
    for path in cache.Decoded("mnist", source).folder.iterdir():
        path.unlink()
    check_mnist(datasets.load("mnist"))
    assert [path for path, _ in server.asked[4:]] == [f"/right/{IDX_NAMES[1]}"]


@pytest.mark.parametrize("bad", ["404", "500", "wrong", "half", "page", "hang", "stall", "endless"])
def test_the_next_mirror_serves_where_one_fails(
    bad: str, mnist: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bad in ("hang", "stall"):
        monkeypatch.setattr(download, "TIMEOUT", 0.2)
    mnist(bad, "right")
    check_mnist(datasets.load("mnist"))
    asked = [path for path, _ in server.asked]
    assert f"/{bad}/{IDX_NAMES[0]}" in asked
    assert f"/right/{IDX_NAMES[0]}" in asked


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("404", "HTTP 404 Not Found"),
        ("500", "HTTP 500 Internal Server Error"),
        ("wrong", "wrong SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}"),
        ("half", "the connection broke off: [0-9]+ of [0-9]+ bytes are here"),
        ("page", "another file: 26 bytes, expected [0-9]+"),
        ("hang", r"no answer within 0\.2 s"),
    ],
)
def test_what_failed_is_named_and_nothing_is_taken_for_whole(
    bad: str, expected: str, mnist: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.2 if bad == "hang" else 10.0)
    mnist(bad)
    message = failure()
    assert re.search(rf"127\.0\.0\.1:\d+/{bad}/{IDX_NAMES[0]} \({expected}", message), message
    assert f"set RLIDIM_DATA to a folder that holds mnist/{IDX_NAMES[0]}" in message
    assert left(tmp_path / "cache") == ([f"{IDX_NAMES[0]}.part"] if bad == "half" else [])
    mnist("right")
    check_mnist(datasets.load("mnist"))


def test_all_mirrors_are_named_without_a_network(mnist: Any, server: Server) -> None:
    source = mnist("404", "500")
    free = f"http://127.0.0.1:{server.server_port}/"
    assert all(f"{free}{bad}/{IDX_NAMES[0]} (HTTP {bad}" in failure() for bad in ("404", "500"))
    SOURCES["mnist"] = small_mnist(server.files, "http://127.0.0.1:9/")  # mnist() restores it
    assert "Connection refused" in failure()
    assert source.editions[0].files[0].name in failure()


def test_a_cut_download_goes_on_where_it_stopped(mnist: Any, server: Server) -> None:
    mnist("cut")
    check_mnist(datasets.load("mnist"))
    length = len(server.files[IDX_NAMES[0]])
    asked = [wanted for path, wanted in server.asked if path.endswith(IDX_NAMES[0])]
    assert asked[:2] == [None, f"bytes={length // 2}-"]


@pytest.mark.parametrize("behaviour", ["right", "noranges", "refuses", "confused"])
def test_a_part_of_an_earlier_run_is_resumed(
    behaviour: str, mnist: Any, server: Server, tmp_path: Path
) -> None:
    mnist(behaviour, "right")
    name, content = IDX_NAMES[0], server.files[IDX_NAMES[0]]
    put(tmp_path / "cache/downloads/mnist", {f"{name}.part": content[:100]})
    check_mnist(datasets.load("mnist"))
    asked = [entry for entry in server.asked if entry[0].endswith(name)]
    assert asked[0] == (f"/{behaviour}/{name}", "bytes=100-")
    others = {
        "right": [],
        "noranges": [],
        "refuses": [(f"/refuses/{name}", None)],
        "confused": [(f"/right/{name}", "bytes=100-")],
    }
    assert asked[1:] == others[behaviour]
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("length", [100, None, 10000])
def test_a_part_of_something_else_is_given_up(
    length: int | None, mnist: Any, server: Server, tmp_path: Path
) -> None:
    mnist("right")
    name, content = IDX_NAMES[0], server.files[IDX_NAMES[0]]
    put(
        tmp_path / "cache/downloads/mnist",
        {f"{name}.part": b"x" * (len(content) if length is None else length)},
    )
    check_mnist(datasets.load("mnist"))
    assert (f"/right/{name}", None) in server.asked


def test_a_whole_part_only_gets_its_name(mnist: Any, server: Server, tmp_path: Path) -> None:
    mnist("right")
    put(
        tmp_path / "cache/downloads/mnist",
        {f"{name}.part": content for name, content in server.files.items()},
    )
    check_mnist(datasets.load("mnist"))
    assert server.asked == []


def _load(url: str, folder: str, together: Barrier) -> None:
    os.environ["RLIDIM_CACHE"] = folder
    SOURCES["mnist"] = small_mnist(idx_files(), url)
    write = cache.Decoded.write

    def noted(self: cache.Decoded, arrays: formats.Arrays) -> None:
        Path(f"{folder}-decoded-by-{os.getpid()}").touch()
        write(self, arrays)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(cache.Decoded, "write", noted)
        together.wait(30)
        check_mnist(datasets.load("mnist"))


def test_two_processes_download_and_decode_once(mnist: Any, server: Server, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    arguments = (server.url("slow"), str(tmp_path / "cache"), together)
    processes = [context.Process(target=_load, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(path for path, _ in server.asked) == sorted(f"/slow/{n}" for n in IDX_NAMES)
    assert len(list(tmp_path.glob("cache-decoded-by-*"))) == 1


def test_plain_lines_are_shown_on_standard_error(
    mnist: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rlidim.data.show.QUIET_SECONDS", 0.0)
    mnist("right")
    datasets.load("mnist")
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[0].startswith(f"{IDX_NAMES[0]}: downloading 0.0 MB from http://127.0.0.1:")
    assert lines[1] == f"{IDX_NAMES[0]}: 0.0 of 0.0 MB"
    assert lines[-1].startswith("mnist: decoding ")


def test_a_bar_is_shown_on_a_terminal(
    mnist: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich: as on a terminal
    monkeypatch.setenv("TERM", "xterm")
    mnist("right")
    check_mnist(datasets.load("mnist"))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "\x1b[" in shown.err
    assert "downloading" not in shown.err


class _FullDisk:
    """Every file that is opened for writing takes ten bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
        original = Path.open

        def opened(path: Path, mode: str = "r", *others: Any, **more: Any) -> Any:
            file = original(path, mode, *others, **more)
            return _FullFile(file) if path.name.endswith(ending) and "r" not in mode else file

        monkeypatch.setattr(Path, "open", opened)


class _FullFile:
    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def write(self, content: bytes) -> int:
        self.file.write(content[:10])
        self.file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __enter__(self) -> _FullFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("ending", [".part", "test_images.npy"])
def test_a_full_disk_is_said_and_leaves_nothing_half(
    ending: str, mnist: Any, server: Server, tmp_path: Path
) -> None:
    mnist("right", "right")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _FullDisk(monkeypatch, ending)
        message = failure()
    assert "no space left" in message
    assert "RLIDIM_CACHE" in message
    assert str(tmp_path / "cache") in message
    expected = [] if ending == ".part" else sorted(IDX_NAMES)
    assert left(tmp_path / "cache") == expected
    if ending == ".part":
        assert len(server.asked) == 1  # another mirror's bytes would not fit either
    check_mnist(datasets.load("mnist"))


def test_nothing_is_left_of_an_interrupted_decoding(
    mnist: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "data/mnist", server.files)
    monkeypatch.setenv("RLIDIM_DATA", str(tmp_path / "data"))
    mnist()
    (tmp_path / "cache/decoded/.mnist.killed.tmp").mkdir(parents=True)

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as interrupted:
        interrupted.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            datasets.load("mnist")
    assert list((tmp_path / "cache/decoded").iterdir()) == []
    check_mnist(datasets.load("mnist"))


def test_an_unwritable_cache_is_said(
    mnist: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RLIDIM_CACHE", str(tmp_path / "file/cache"))
    mnist("right")
    assert re.search(r"file/cache.*cannot be written \(Not a directory\); set RLIDIM_C", failure())


def test_the_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLIDIM_CACHE", "~/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("HOME", "/elsewhere/someone")
    assert home.folder() == Path("/elsewhere/someone/mine")
    monkeypatch.delenv("RLIDIM_CACHE")
    assert home.folder() == Path("/xdg/rlidim")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert home.folder() == Path("/elsewhere/someone/.cache/rlidim")


def test_a_folder_of_nobody_s_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLIDIM_DATA", "~nosuchuser/data")
    with pytest.raises(RlidimError, match="RLIDIM_DATA ~nosuchuser/data: no such folder"):
        places.data_folder()


def test_a_folder_that_has_no_such_data_is_named(
    mnist: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As with MNIST under other names: the folder is not passed by in silence."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("RLIDIM_DATA", str(tmp_path / "data"))
    mnist("right")
    check_mnist(datasets.load("mnist"))
    said = f"{tmp_path / 'data'} has no such data: {tmp_path / 'data/mnist' / IDX_NAMES[0]} is not"
    assert said in "".join(capsys.readouterr().err.split("\n"))
    assert said in doctor.data_sets()["notes"][0]


@pytest.fixture
def copies(
    mnist: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The user's folder of MNIST; the mirrors must not be asked."""
    put(tmp_path / "data/mnist", server.files)
    monkeypatch.setenv("RLIDIM_DATA", str(tmp_path / "data"))
    mnist("right")
    yield tmp_path / "data/mnist"
    assert server.asked == []


def test_the_users_folder_comes_first(copies: Path) -> None:
    check_mnist(datasets.load("mnist"))
    assert datasets.place("mnist") == copies


def test_the_users_files_are_hashed_when_they_changed(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets.load("mnist")
    verified: list[Any] = []
    monkeypatch.setattr(formats, "verify", verified.append)
    check_mnist(datasets.load("mnist"))
    assert verified == []
    os.utime(copies / IDX_NAMES[3], (1, 1))
    check_mnist(datasets.load("mnist"))
    assert len(verified) == 1
    check_mnist(datasets.load("mnist"))
    assert len(verified) == 1


def test_another_content_is_noticed_in_spite_of_the_cache(copies: Path) -> None:
    datasets.load("mnist")
    path = copies / IDX_NAMES[3]
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    message = failure()
    assert message.startswith(f"{path}: not the published file: its SHA-256 is ")


def test_half_a_copy_is_not_hidden_by_a_download(copies: Path) -> None:
    (copies / IDX_NAMES[2]).unlink()
    assert failure().startswith(f"{copies / IDX_NAMES[2]}: missing")
    (copies / IDX_NAMES[2]).write_bytes(b"\x1f\x8b")
    assert "not the published file" in failure()


def test_a_folder_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLIDIM_DATA", str(tmp_path / "nowhere"))
    assert failure().startswith(f"RLIDIM_DATA {tmp_path}/nowhere: no such folder")


def test_a_system_package_serves(
    mnist: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "installed", server.files)
    source = dataclasses.replace(mnist("right"), installed=(str(tmp_path / "installed"),))
    monkeypatch.setitem(SOURCES, "mnist", source)
    check_mnist(datasets.load("mnist"))
    assert server.asked == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not an idx file"),
        (b"\x00\x00\x09\x01\x00\x00\x00\x01\x05", "not an idx file"),
        (b"\x00\x00\x08\x03\x00\x00", "ends within its header"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x02\x05", r"9 bytes, expected 10 for \(2,\)"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x01\x05\x05", r"10 bytes, expected 9 for \(1,\)"),
        (b"\x00\x00\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff\x05", "13 bytes, expected"),
    ],
)
def test_an_idx_file_is_read_strictly(content: bytes, expected: str) -> None:
    with pytest.raises(RlidimError, match=f"^some.gz: {expected}"):
        formats.parse_idx(content, Path("some.gz"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (gzip.compress(idx(np.zeros((29, 5, 4), np.uint8))), "expected (30, 1, 5, 4)"),
        (gzip.compress(idx(np.zeros(30, np.uint8))), "expected (30, 1, 5, 4)"),
        (gzip.compress(idx(np.zeros((30, 5, 4), np.uint8)))[:-9], "cannot be unpacked"),
        (b"no gzip", "cannot be unpacked"),
    ],
    # Not from the contents: gzip's head holds the second at which it was written.
    ids=["an image too few", "no images", "cut", "no gzip"],
)
def test_right_checksums_of_wrong_contents_are_refused(
    content: bytes, expected: str, copies: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    contents = {**server.files, IDX_NAMES[0]: content}
    put(copies, contents)
    monkeypatch.setitem(SOURCES, "mnist", small_mnist(contents))
    assert expected in failure()


def test_a_label_beyond_the_classes_is_refused(
    copies: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    contents = {**server.files, IDX_NAMES[1]: gzip.compress(idx(np.full(30, 10, np.uint8)))}
    put(copies, contents)
    monkeypatch.setitem(SOURCES, "mnist", small_mnist(contents))
    assert "train_labels: a label is not below 10" in failure()


def check_cifar10(found: datasets.DataSet) -> None:
    contents = [pickle.loads(content) for content in batches().values()]
    images = np.concatenate([batch[b"data"] for batch in contents]).reshape(24, 3, 2, 2)
    labels = np.concatenate([batch[b"labels"] for batch in contents])
    assert np.array_equal(found.train_images, images[:20])
    assert np.array_equal(found.test_images, images[20:])
    assert np.array_equal(found.train_labels, labels[:20])
    assert np.array_equal(found.test_labels, labels[20:])


@pytest.mark.parametrize(
    "folder",
    [
        "cifar-10",
        "cifar10",
        "cifar-10-batches-py",
        "cifar-10/cifar-10-batches-py",
        "cifar10/cifar-10-batches-py",
    ],
)
@pytest.mark.parametrize("edition", ["archive", "batches"])
def test_every_layout_of_cifar10_is_found(
    folder: str, edition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = batches()
    archive = packed({**in_folder(contents), "cifar-10-batches-py/readme.html": b"hello"})
    monkeypatch.setitem(SOURCES, "cifar10", small_cifar10(contents, archive))
    put(tmp_path / folder, {ARCHIVE: archive} if edition == "archive" else contents)
    monkeypatch.setenv("RLIDIM_DATA", str(tmp_path))
    check_cifar10(datasets.load("cifar10"))


def test_cifar10_is_downloaded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed(in_folder(batches()))
    server.files = {ARCHIVE: archive}
    source = small_cifar10(batches(), archive, server.url("404"), server.url("right"))
    monkeypatch.setitem(SOURCES, "cifar10", source)
    check_cifar10(datasets.load("cifar10"))


@pytest.fixture
def archived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what puts an archive with its right checksum in the user's folder."""
    monkeypatch.setenv("RLIDIM_DATA", str(tmp_path / "data"))

    def use(members: dict[str, bytes], known: dict[str, bytes]) -> Path:
        archive = packed(members)
        put(tmp_path / "data/cifar10", {ARCHIVE: archive})
        monkeypatch.setitem(SOURCES, "cifar10", small_cifar10(known, archive))
        return tmp_path / "data/cifar10" / ARCHIVE

    return use


@pytest.mark.parametrize("evil", ["../evil", "/tmp/evil", "cifar-10-batches-py/../../evil"])
def test_a_member_that_leaves_the_folder_is_refused(
    evil: str, archived: Any, tmp_path: Path
) -> None:
    path = archived({evil: b"evil", **in_folder(batches())}, batches())
    assert failure("cifar10") == f"{path}: refused: '{evil}' leaves the folder"
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("evil", ["../evil", "/tmp/evil"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_that_leaves_the_folder_is_refused(
    evil: str, kind: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tarfile.TarInfo("cifar-10-batches-py/link")
    link.type, link.linkname = kind, evil
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(link)
    put(tmp_path / "cifar10", {ARCHIVE: buffer.getvalue()})
    monkeypatch.setenv("RLIDIM_DATA", str(tmp_path))
    monkeypatch.setitem(SOURCES, "cifar10", small_cifar10(batches(), buffer.getvalue()))
    assert failure("cifar10").endswith(f"{ARCHIVE}: refused: '{evil}' leaves the folder")


def test_an_archive_from_a_server_is_held_to_the_same(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that leaves the folder, and code in a pickle, under a right checksum."""
    marker = tmp_path / "executed"
    exploding = {**batches(), "data_batch_1": pickle.dumps(_Bomb(marker), protocol=4)}
    for members, known, said in (
        ({"../evil": b"evil", **in_folder(batches())}, batches(), "refused: '../evil' leaves"),
        (in_folder(exploding), exploding, "data_batch_1: not a batch of CIFAR-10"),
    ):
        archive = packed(members)
        server.files = {ARCHIVE: archive}
        source = small_cifar10(known, archive, server.url("right"))
        monkeypatch.setitem(SOURCES, "cifar10", source)
        assert said in failure("cifar10")
        (tmp_path / "cache/downloads/cifar10" / ARCHIVE).unlink()
    assert not marker.exists()
    assert not list(tmp_path.rglob("evil"))


def test_a_name_that_no_server_answers_to_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_mnist(idx_files(), "http://nowhere.invalid/")  # RFC 2606: it never resolves
    monkeypatch.setitem(SOURCES, "mnist", source)
    assert f"http://nowhere.invalid/{IDX_NAMES[0]} (" in failure()
    assert "set RLIDIM_DATA" in failure()


def test_an_archive_is_not_opened_before_its_checksum_matches(
    archived: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archived(in_folder(batches()), batches())
    path.write_bytes(path.read_bytes() + b"\x00")

    def opened(*arguments: Any, **more: Any) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(tarfile, "open", opened)
    assert failure("cifar10").startswith(f"{path}: not the published file")


def test_an_archive_without_a_batch_is_refused(archived: Any) -> None:
    members = in_folder(batches())
    del members["cifar-10-batches-py/data_batch_5"]
    path = archived(members, batches())
    assert failure("cifar10") == f"{path}: holds no cifar-10-batches-py/data_batch_5"


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_never_run(archived: Any, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    bomb = pickle.dumps(_Bomb(marker), protocol=4)
    pickle.loads(bomb)
    assert marker.exists()  # it is a bomb
    marker.unlink()
    exploding = {**batches(), "data_batch_1": bomb}
    archived(in_folder(exploding), batches())  # the archive's checksum is right, the batch's wrong
    assert "data_batch_1: not the published file" in failure("cifar10")
    archived(in_folder(exploding), exploding)  # even then
    assert re.search(
        r"data_batch_1: not a batch of CIFAR-10 \(.* is not allowed\)", failure("cifar10")
    )
    assert not marker.exists()


@pytest.mark.parametrize(
    "batch",
    [
        b"",
        b"no pickle",
        pickle.dumps([1]),
        pickle.dumps({b"data": np.zeros((4, 12), np.uint8)}, protocol=4),
        pickle.dumps({b"data": np.zeros((4, 12), np.uint8), b"labels": [1] * 3}, protocol=4),
        pickle.dumps({b"data": np.zeros((4, 11), np.uint8), b"labels": [1] * 4}, protocol=4),
        pickle.dumps({b"data": np.zeros((4, 12), np.uint8), b"labels": [300] * 4}, protocol=4),
    ],
)
def test_a_batch_is_read_strictly(batch: bytes, archived: Any) -> None:
    contents = {**batches(), "test_batch": batch}
    archived(in_folder(contents), contents)
    assert "test_batch: not a batch of CIFAR-10" in failure("cifar10")


def test_doctor_says_where_the_data_are(
    copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fashion = dataclasses.replace(SOURCES["fashion-mnist"], installed=())
    monkeypatch.setitem(SOURCES, "fashion-mnist", fashion)
    found = doctor.data_sets()
    assert found["found"] == {"mnist": str(copies), "fashion-mnist": None, "cifar10": None}
    assert found["problems"] == []
    assert found["cache"] == str(tmp_path / "cache")
    (copies / IDX_NAMES[0]).unlink()
    (problem,) = doctor.data_sets()["problems"]
    assert problem.startswith(f"{copies / IDX_NAMES[0]}: missing")
    data_lines = [
        line
        for line in doctor.table(
            {
                "versions": {},
                "hardware": {"processor": "none", "cores": 1},
                "devices": [],
                "kernels": {},
                "optional": {},
                "data": found,
                "results": {"folder": "results", "there": True, "error": None},
            }
        ).splitlines()
        if line.startswith("data ")
    ]
    assert data_lines[0].endswith(f"mnist: {copies}")
    assert data_lines[3].endswith(f"what is not here is downloaded into {tmp_path / 'cache'}")
    assert "has no such data" in data_lines[4]  # of CIFAR-10 there is none in RLIDIM_DATA


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "train", "shape", "histogram"),
    [
        (
            "mnist",
            60000,
            (1, 28, 28),
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        ),
        ("fashion-mnist", 60000, (1, 28, 28), [6000] * 10),
        ("cifar10", 50000, (3, 32, 32), [5000] * 10),
    ],
)
def test_the_published_files(
    name: str,
    train: int,
    shape: tuple[int, ...],
    histogram: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not REAL:
        pytest.skip("RLIDIM_DATA is not set")
    monkeypatch.setenv("RLIDIM_DATA", REAL)
    if datasets.place(name) is None:
        pytest.skip(f"no {name} below RLIDIM_DATA")
    found = datasets.load(name)
    assert found.train_images.shape == (train, *shape) == (train, *datasets.SHAPES[name])
    assert found.test_images.shape == (10000, *shape)
    assert np.bincount(found.train_labels).tolist() == histogram
    if name != "mnist":
        assert np.bincount(found.test_labels).tolist() == [1000] * 10
    started = time.perf_counter()
    datasets.load(name)
    assert time.perf_counter() - started < 0.5
