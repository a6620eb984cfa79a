"""MNIST, Fashion-MNIST, KMNIST, CIFAR-10 and SVHN, with their official splits.

Each is looked for in the folders of `places()`, laid out as torchvision does, and checked before it is used.
Addresses and checksums of the downloads are torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aecore.errors import DataError

from ..base import Data, DataSpec
from ..files import idx
from ..files.download import fetch
from ..files.transforms import finish
from ..places import Found, Info, Place, Progress, cache_dir, candidates, first_undamaged

Part = tuple[np.ndarray, np.ndarray]
"""Images (N, C, H, W) uint8 and labels (N,) int64."""

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
KANA = ("お", "き", "す", "つ", "な", "は", "ま", "や", "れ", "を")
THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Official:
    """A data set with an official address.

    folder: its folder in one of `places()`.
    present(folder): whether all of its files are there. partly(folder): whether any of them is.
    read(folder): the training part and the test part; raises DataError for a damaged file.
    get(folder, progress): downloads it into a folder.
    size, channels: of one image. published: as in `Info`.
    """

    title: str
    folder: str
    classes: tuple[str, ...]
    attribution: str
    download_mb: int
    train: int
    test: int
    present: Callable[[Path], bool]
    partly: Callable[[Path], bool]
    read: Callable[[Path], tuple[Part, Part]]
    get: Callable[[Path, Progress | None], None]
    size: int = 28
    channels: int = 1
    published: str = ""

    def copies(self) -> list[Place]:
        """The folders that hold any of its files, also damaged or incomplete, in the order in which they are tried."""
        return [place for place in candidates(self.folder) if self.partly(place.folder)]

    def info(self) -> Info:
        here = next((place for place in self.copies() if self.present(place.folder)), None)
        sentence = f"From {here.name}." if here else f"Not on this computer; a download of {self.download_mb} MB."
        return Info(
            self.title,
            self.size,
            self.channels,
            self.train,
            self.test,
            self.classes,
            here=here is not None,
            place=sentence,
            download_mb=self.download_mb,
            attribution=self.attribution,
            published=self.published,
        )

    def load(self, spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Data:
        """From the first folder that holds undamaged files, or else, if wanted, from the official address."""
        found = self._found(download, progress)
        train, test = found.value
        return finish(
            spec,
            train,
            test,
            title=self.title,
            classes=self.classes,
            attribution=self.attribution,
            source=f"{self.title} from {found.place.name} ({found.place.folder}). {found.damaged}".rstrip(),
            damaged=found.damaged,
        )

    def _found(self, download: bool, progress: Progress | None) -> Found[tuple[Part, Part]]:
        """Both parts, downloaded if no folder holds an undamaged copy and that is wanted. Raises DataError."""
        try:
            found = first_undamaged(self.title, self.copies(), self.read)
        except DataError:
            if not download:
                raise
            found = None
        if found is None and download:
            folder = cache_dir() / "data" / self.folder
            self.get(folder, progress)
            place = Place(folder, "the official download, kept in the app's cache")
            found = first_undamaged(self.title, [place], self.read)
        if found is None:
            raise DataError(self._missing())
        return found

    def _missing(self) -> str:
        return (
            f"{self.title} is not on this computer. Download it ({self.download_mb} MB), or set AECORE_DATA "
            f"to a folder that holds {self.folder or 'the two .mat files'}."
        )


def _torchvision(name: str) -> Any:
    """One of torchvision's classes. It is imported here because that takes more than a second."""
    from torchvision import datasets  # not a submodule of it, since another thread may be importing torchvision

    return getattr(datasets, name)


def _idx(name: str, md5: dict[str, str]) -> dict[str, Any]:
    """`present`, `partly`, `read` and `get` for four IDX files, with the addresses of torchvision's class `name`."""

    def read(folder: Path) -> tuple[Part, Part]:
        (x, y), (x_test, y_test) = idx.read(folder, md5 or dict(_torchvision(name).resources))
        return (x[:, None], y), (x_test[:, None], y_test)

    def get(folder: Path, progress: Progress | None) -> None:
        source = _torchvision(name)
        gzipped = dict(source.resources)
        for i, (file, md5_of_file) in enumerate(gzipped.items()):
            # An unpacked file is read before the gzipped one, and this one may be damaged.
            (folder / file.removesuffix(".gz")).unlink(missing_ok=True)
            step = progress and (lambda part, sentence, i=i: progress((i + part) / len(gzipped), sentence))
            fetch([mirror + file for mirror in source.mirrors], md5_of_file, folder / file, step)

    return {"present": idx.present, "partly": idx.partly, "read": read, "get": get}


def _read_cifar(folder: Path) -> tuple[Part, Part]:
    """Both parts. torchvision unpickles the files only after it has checked their md5."""
    try:
        parts = [_torchvision("CIFAR10")(str(folder.parent), train=train) for train in (True, False)]
    except (RuntimeError, OSError) as e:
        raise DataError(
            f"The CIFAR-10 files in {folder} are damaged or incomplete. Delete that folder and download it again."
        ) from e
    train, test = ((p.data.transpose(0, 3, 1, 2), np.array(p.targets, dtype=np.int64)) for p in parts)
    return train, test


def _get_cifar(folder: Path, progress: Progress | None) -> None:
    from torchvision import datasets

    source = _torchvision("CIFAR10")
    archive = folder.parent / source.filename
    fetch([source.url], source.tgz_md5, archive, progress)
    try:
        datasets.utils.extract_archive(str(archive), str(folder.parent))
    except OSError as e:
        raise DataError(
            f"CIFAR-10 could not be unpacked in {folder.parent}: {e.strerror or e}. Free some space."
        ) from e
    archive.unlink(missing_ok=True)


SVHN_FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


def _read_svhn(folder: Path) -> tuple[Part, Part]:
    try:
        parts = [_torchvision("SVHN")(str(folder), split=part) for part in SVHN_FILES]
    except (RuntimeError, OSError, ValueError) as e:
        raise DataError(
            f"The SVHN files in {folder} are damaged or incomplete. Delete them and download them again."
        ) from e
    train, test = ((p.data, np.asarray(p.labels, dtype=np.int64)) for p in parts)
    return train, test


def _get_svhn(folder: Path, progress: Progress | None) -> None:
    for i, part in enumerate(SVHN_FILES):
        url, name, md5 = _torchvision("SVHN").split_list[part]
        step = progress and (lambda done, sentence, i=i: progress((i + done) / 2, sentence))
        fetch([url], md5, folder / name, step)


MNIST = Official(
    title="MNIST",
    folder="MNIST/raw",
    classes=DIGITS,
    attribution="Yann LeCun and Corinna Cortes, CC BY-SA 3.0",
    download_mb=12,
    train=60_000,
    test=10_000,
    **_idx("MNIST", idx.MNIST),
    published="−log p(x) of MNIST's binarised test images, without labels: 81.30 nats drawn once (van den Oord et al., "
    "2016, arXiv:1601.06759), 81.45 drawn anew (a training by the library pytorch-generative); split at one half they "
    "are likelier",
)
FASHION = Official(
    title="Fashion-MNIST",
    folder="FashionMNIST/raw",
    classes=CLOTHES,
    attribution="Xiao, Rasul, Vollgraf (2017), Zalando SE, MIT licence",
    download_mb=31,
    train=60_000,
    test=10_000,
    **_idx("FashionMNIST", idx.FASHION),
)
KMNIST = Official(
    title="Kuzushiji-MNIST",
    folder="KMNIST/raw",
    classes=KANA,
    attribution="Clanuwat et al. (2018), ROIS-DS Center for Open Data in the Humanities, CC BY-SA 4.0",
    download_mb=21,
    train=60_000,
    test=10_000,
    **_idx("KMNIST", {}),
)
CIFAR10 = Official(
    title="CIFAR-10",
    folder="cifar-10-batches-py",
    classes=THINGS,
    attribution="Alex Krizhevsky (2009), Learning multiple layers of features from tiny images",
    download_mb=170,
    train=50_000,
    test=10_000,
    present=lambda folder: (folder / "batches.meta").is_file(),
    partly=lambda folder: any(folder.glob("*batch*")),
    read=_read_cifar,
    get=_get_cifar,
    size=32,
    channels=3,
)
SVHN = Official(
    title="SVHN",
    folder="",
    classes=DIGITS,
    attribution="Netzer et al. (2011), Reading digits in natural images; for non-commercial use",
    download_mb=246,
    train=73_257,
    test=26_032,
    present=lambda folder: all((folder / name).is_file() for name in SVHN_FILES.values()),
    partly=lambda folder: any((folder / name).is_file() for name in SVHN_FILES.values()),
    read=_read_svhn,
    get=_get_svhn,
    size=32,
    channels=3,
)
