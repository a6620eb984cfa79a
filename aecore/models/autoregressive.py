"""Chapter §5.5: images generated pixel by pixel."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..data.base import Batch
from ..distributions import Bernoulli
from ..entry import Entry, FieldError, Param, Term
from ..nets import Shape
from .base import Model, Player


def gate(a: Tensor) -> Tensor:
    """tanh(a₁) ⊙ σ(a₂) of the two halves of the channels: (B, 2p, …) → (B, p, …)."""
    first, second = a.chunk(2, 1)
    return first.tanh() * second.sigmoid()


class GatedLayer(nn.Module):
    """One layer of both stacks: the vertical one sees all rows above a pixel, the horizontal one its row's left part.

    first: it reads the pixels themselves, so that the horizontal stack must not see the present one (mask A).
    """

    def __init__(self, inputs: int, width: int, kernel: int, first: bool = False):
        super().__init__()
        self.reach, self.first = kernel // 2, first
        self.vertical = nn.Conv2d(inputs, 2 * width, (self.reach + 1, kernel))
        self.horizontal = nn.Conv2d(inputs, 2 * width, (1, self.reach + (not first)))
        self.link = nn.Conv2d(2 * width, 2 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def down(self, v: Tensor) -> Tensor:
        """Row i from rows ≤ i, before the gate: (B, 2p, H, W)."""
        return self.vertical(F.pad(v, (self.reach, self.reach, self.reach, 0)))

    def across(self, h: Tensor, above: Tensor) -> Tensor:
        """Column j from columns ≤ j (< j in the first layer) of the same row, and from what lies above."""
        a = self.horizontal(F.pad(h, (self.reach, 0, 0, 0)))[..., : h.shape[-1]]
        new = self.out(gate(a + above))
        return new if self.first else h + new


class PixelCNN(Model):
    """Gated PixelCNN of binary images: no code, only the chain rule, and an exact likelihood.

    log p(x) = Σ_i log p(x_i | x_1 … x_{i−1}), row by row from the top left; the channels of a pixel in turn.

    width: p, feature maps.  layers: gated layers; the first has 7×7 filters, the others 3×3.

    Source: van den Oord et al. (2016), arXiv:1606.05328, Fig. 2.
    Departures: pixels are binary, drawn anew from grey values x ~ Ber(x) at each step; the channels of one pixel
    depend on each other linearly, as in Salimans et al. (2017), arXiv:1701.05517, not through masked features.
    """

    def __init__(self, shape: Shape, width: int = 32, layers: int = 6):
        super().__init__(shape)
        if len(self.shape) != 3:
            raise FieldError("model", "a PixelCNN needs images; these data are vectors: choose another model")
        self.channels = self.shape[0]
        self.layers = nn.ModuleList([GatedLayer(self.channels, width, 7, first=True)])
        self.layers.extend(GatedLayer(width, width, 3) for _ in range(layers - 1))
        outputs = self.channels * (self.channels + 1) // 2  # a logit for each, and a weight for each pair of channels
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, outputs, 1))

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"network": Player((self.layers, self.head), {"nll": 1.0})}

    def above(self, x: Tensor) -> list[Tensor]:
        """What each layer's row i is told of rows < i: (B, 2p, H, W) each."""
        v, told = 2 * x - 1, []
        for layer in self.layers:
            a = layer.down(v)
            told.append(layer.link(F.pad(a, (0, 0, 1, 0))[:, :, :-1]))  # shifted down by one row
            v = gate(a)
        return told

    def across(self, x: Tensor, above: list[Tensor]) -> Tensor:
        """The head's outputs for the rows x (B, C, h, W), given what lies above them."""
        h = 2 * x - 1
        for layer, told in zip(self.layers, above, strict=True):
            h = layer.across(h, told)
        return self.head(h)

    def chain(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Logits (B, C, …): a_c + Σ_{c' < c} w_cc' x_c', so that a channel knows the pixel's earlier ones."""
        logits, weights = outputs.split([self.channels, outputs.shape[1] - self.channels], 1)
        rows = [logits[:, :1]]
        for c in range(1, self.channels):
            w, weights = weights[:, :c], weights[:, c:]
            rows.append(logits[:, c : c + 1] + (w * x[:, :c]).sum(1, keepdim=True))
        return torch.cat(rows, 1)

    def logits(self, x: Tensor) -> Tensor:
        """Logits of p(x_i = 1 | x_{<i}) for binary x: (B, *shape)."""
        return self.chain(self.across(x, self.above(x)), x)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact, for binary x (B, *shape): (B,) nats."""
        return Bernoulli(self.logits(x)).log_prob(x)

    def terms(self, batch: Batch, players: Collection[str]) -> dict[str, Tensor]:
        return {"nll": -self.log_prob(torch.bernoulli(batch.x))}

    @torch.no_grad()
    def sample(self, n: int, temperature: float = 1.0, generator: Generator | None = None) -> Tensor:
        """n binary images (n, *shape), pixel by pixel; the vertical stack is run once a row.

        temperature: the logits are divided by it.
        """
        _, height, width = self.shape
        x = next(self.parameters()).new_zeros(n, *self.shape)
        for i in range(height):
            above = [told[:, :, -1:] for told in self.above(x[:, :, : i + 1])]
            for j in range(width):
                outputs = self.across(x[:, :, i : i + 1], above)[..., j]
                for c in range(self.channels):
                    logit = self.chain(outputs, x[:, :, i : i + 1, j])[:, c, 0].float()
                    p = (logit / max(temperature, 1e-3)).sigmoid()
                    x[:, c, i, j] = torch.bernoulli(p, generator=generator)
        return x


ENTRIES = (
    Entry(
        key="pixelcnn",
        name="PixelCNN",
        year=2016,
        section="§5.5",
        idea="No code at all: each pixel is drawn given the pixels before it.",
        equation=r"\min\; \mathbb{E}\; \term{nll}{-\textstyle\sum_i \log p(x_i \mid x_1, \ldots, x_{i-1})}",
        terms={"nll": Term("nats", "−log p(x), exactly: how unlikely the image is, pixel after pixel")},
        source="van den Oord et al. (2016), arXiv:1606.05328; chapter §5.5",
        build=PixelCNN,
        params={
            "width": Param(32, 8, 128, 8, "log", "p", "feature maps of a layer"),
            "layers": Param(6, 1, 16, 1, help="gated layers; how far a pixel sees"),
        },
        kinds=("image",),
        abilities=frozenset({"sample", "density"}),
        plan={"batch": 64},
        departures="pixels are binary, drawn from grey values at each step; channels depend on each other linearly",
    ),
)
