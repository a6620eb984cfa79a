"""Drawn faces with attributes: a face can be drawn again with any attribute changed and all else as it was.

A face is a vector of attributes (0 or 1, with CelebA's names) and a vector of everything else about it, continuous:
skin, head, eyes, pose, light, background. It is painted whenever it is asked for; no picture is stored. So the true
answer to every edit is known: it is the same face, drawn with the attribute changed.

Source: names and meanings of the attributes: Liu et al. (2015), arXiv:1411.7766 (CelebA).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import attributes as rules
from ..base import Batch, Data, DataSpec, Split, choose
from ..files.transforms import LUMA
from ..places import Info, Progress
from .face_painter import AT, ATTRIBUTES, NUISANCE, Painter

CLASSES = ("woman, not young", "woman, young", "man, not young", "man, young")
"""Names of the labels. A face has the label Young + 2 Male."""

N, TEST = 60_000, 5_000
"""How many faces are trained on, and held out."""

SMALLEST = 32
"""The fewest pixels a side on which all attributes can still be told apart: small enough to train on with a CPU."""

TITLE = "Faces (drawn, known attributes)"
SOURCE = "Drawn on this computer while they are used."
ATTRIBUTION = "Drawn by this program; the attributes' names are those of CelebA, Liu et al. (2015)"


def switched(attributes: np.ndarray, name: str, value: bool) -> np.ndarray:
    """Attributes (…, A) of faces with one switched, and with it those that cannot stay (`attributes.switched`).

    Even a bald head has a hair colour: that of its fringe.
    """
    return rules.switched(attributes, ATTRIBUTES, name, value, always_hair=True)


def possible(attributes: np.ndarray) -> np.ndarray:
    """Whether faces with these attributes (…, A) show each of them when they are drawn. Returns (…,) bool."""
    coloured = np.asarray(attributes)[..., [AT[h] for h in rules.HAIR]].sum(-1) > 0.5
    return rules.possible(attributes, ATTRIBUTES) & coloured


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n random faces: attributes (n, A) of 0 and 1, and nuisance (n, len(NUISANCE)) from −1 to 1, float32 both.

    The frequencies are plausible: grey and thin hair come with age, mustaches with men, a hat or bangs with hair.
    """
    random = np.random.default_rng(seed)
    chance = {name: random.random(n) for name in ATTRIBUTES}
    pick, rest = random.random(n), random.uniform(-1, 1, (n, len(NUISANCE)))
    a = np.zeros((n, len(ATTRIBUTES)), np.float32)

    def put(name: str, share: float | np.ndarray) -> np.ndarray:
        a[:, AT[name]] = chance[name] < share
        return a[:, AT[name]] > 0

    male, young = put("Male", 0.5), put("Young", 0.55)
    shares = np.where(young[:, None], [0.36, 0.66, 0.94, 1.0], [0.24, 0.48, 0.66, 1.0])
    a[np.arange(n), AT["Black_Hair"] + (pick[:, None] > shares).sum(1).clip(max=3)] = 1
    bald = put("Bald", np.where(male, np.where(young, 0.12, 0.24), 0.07))
    hat = put("Wearing_Hat", np.where(bald, 0, 0.16))
    put("Wavy_Hair", np.where(bald, 0, 0.4))
    bangs = put("Bangs", np.where(bald | hat, 0, np.where(male, 0.22, 0.38)))
    put("Receding_Hairline", np.where(bald | hat | bangs, 0, np.where(male, np.where(young, 0.2, 0.5), 0.2)))
    put("Smiling", 0.5)
    put("Mouth_Slightly_Open", 0.42)
    put("Eyeglasses", np.where(young, 0.22, 0.34))
    put("Mustache", np.where(male, 0.25, 0))
    return a, rest.astype(np.float32)


class Faces(Split):
    """One split: faces by their attributes and nuisance, painted when they are asked for.

    attributes: (N, A) of 0 and 1.  nuisance: (N, len(NUISANCE)) from −1 to 1.  size: pixels a side.
    """

    attributes: np.ndarray
    nuisance: np.ndarray

    def __init__(
        self,
        attributes: np.ndarray,
        nuisance: np.ndarray,
        size: int = SMALLEST,
        grey: bool = False,
        device: torch.device | str = "cpu",
    ):
        self.attributes, self.nuisance, self.grey = attributes, nuisance, grey
        self.painter = Painter(size, device)
        self.labels = self.of(attributes)
        self._a, self._nuisance = (torch.as_tensor(values, device=device) for values in (attributes, nuisance))
        self._y = torch.as_tensor(self.labels, device=device)

    @staticmethod
    def of(attributes: np.ndarray) -> np.ndarray:
        """The labels (N,) of faces with these attributes."""
        return (attributes[:, AT["Young"]] + 2 * attributes[:, AT["Male"]]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.attributes)

    def batch(self, index: Tensor) -> Batch:
        index = index.to(self._a.device)
        return Batch(self._paint(self._a[index], self._nuisance[index]), self._y[index], attributes=self._a[index])

    def redrawn(self, index: Tensor, attributes: Tensor) -> Tensor:
        """Images (B, C, H, W) of the same faces, index (B,), with other attributes (B, A): the perfect edit."""
        return self._paint(attributes.to(self._a), self._nuisance[index.to(self._a.device)])

    def _paint(self, attributes: Tensor, nuisance: Tensor) -> Tensor:
        x = self.painter.paint(attributes, nuisance)
        return x.mul(x.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True) if self.grey else x

    def to(self, device: torch.device | str) -> Faces:
        if torch.device(device) == self._a.device:
            return self
        return Faces(self.attributes, self.nuisance, self.painter.size, self.grey, device)


def info() -> Info:
    return Info(
        TITLE,
        SMALLEST,
        3,
        N,
        TEST,
        CLASSES,
        here=True,
        place=SOURCE,
        attribution=ATTRIBUTION,
        has_attributes=True,
    )


def load(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Data:
    """Drawn faces; the held-out ones come from another seed."""
    attributes, nuisance = draw(N, 0)
    chosen = choose(N, spec.limit)
    size = spec.size or SMALLEST
    return Data(
        spec=spec,
        title=TITLE,
        shape=(1 if spec.grey else 3, size, size),
        train=Faces(attributes[chosen], nuisance[chosen], size, spec.grey),
        test=Faces(*draw(TEST, 1), size, spec.grey),
        source=SOURCE,
        attribution=ATTRIBUTION,
        classes=CLASSES,
        attributes=ATTRIBUTES,
        always_hair=True,
    )
