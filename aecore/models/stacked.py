"""Chapter §1: autoencoders that are trained layer by layer and then as a whole."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data.base import Batch
from ..errors import FieldError
from ..nn import networks
from ..nn.distributions import distance
from ..nn.networks import Shape
from .base import Autoencoder, Player, Terms
from .entry import CODE, DISTANCE, WIDTH, Entry, Param, Term
from .regularised import erasures

Layer = tuple[nn.Module, nn.Module]  # an encoder of h_{k−1} into h_k, and its decoder into logits of h_{k−1}


def dense(shape: Shape, size: int) -> Layer:
    """h_{k−1} (B, *shape) to h_k (B, size) and back, fully connected."""
    inputs = math.prod(shape)
    encoder = nn.Sequential(nn.Flatten(), networks.linear(inputs, size))
    return encoder, nn.Sequential(networks.linear(size, inputs), networks.Reshape(shape))


def convolution(shape: Shape, channels: int) -> tuple[Layer, Shape]:
    """h_{k−1} (B, C, H, W) to h_k (B, channels, H/2, W/2) and back, and the shape of h_k."""
    height, width = shape[1] // 2, shape[2] // 2
    odd = (shape[1] - 2 * height, shape[2] - 2 * width)
    encoder = nn.Conv2d(shape[0], channels, 4, stride=2, padding=1)
    decoder = nn.ConvTranspose2d(channels, shape[0], 4, stride=2, padding=1, output_padding=odd)
    return (encoder, decoder), (channels, height, width)


def stack(shape: Shape, code: int, flavour: str, layers: int, width: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder A_1, sigmoid, A_2, …, A_n and decoder B_n, sigmoid, …, B_1, each (B, …) → (B, …).

    For the parameters see `Stacked`.
    """
    pairs: list[Layer] = []
    if flavour == "convolutional":
        for count in networks.channels(width, min(layers, len(networks.halvings(shape))) - 1):
            pair, shape = convolution(shape, count)
            pairs.append(pair)
    else:
        for size in (max(width // 2**k, 4) for k in range(layers - 1)):
            pairs.append(dense(shape, size))
            shape = (size,)
    pairs.append(dense(shape, code))
    encoder, decoder = nn.Sequential(), nn.Sequential()
    for A, _ in pairs:
        encoder.extend([A, nn.Sigmoid()])
    for _, B in reversed(pairs):
        decoder.extend([B, nn.Sigmoid()])
    return encoder[:-1], decoder[:-1]


class Stacked(Autoencoder):
    """Stacked autoencoder: each layer is trained alone as an autoencoder of the layer below, then all jointly.

    stage k: min Δ(h_{k−1}, B_k(A_k(h̃_{k−1}))),  h_0 = x,  h_k = A_k(h_{k−1}), the layers below fixed;
    whole: min Δ(x, B_1(…B_n(A_n(…A_1(x))))).

    flavour: "denoising" has dense layers, and h̃ keeps a value of h with probability p and is 0 otherwise;
    "convolutional" has convolutions that halve the image, a dense layer after them, and h̃ = h.
    layers: n; convolutions stop where the shorter side is 4.  width: units of the first layer, halved by each further
    layer; convolutions start with width / 16 channels and double them.
    stages: share of the training given to the single layers, in equal parts; 0: only the whole is trained.

    The hidden h_k are outputs of a sigmoid, so that Δ suits them as it suits pixels; the code h_n is linear.

    Source: Vincent et al. (2010), JMLR 11:3371, for "denoising"; Masci et al. (2011),
    doi:10.1007/978-3-642-21735-7_7, for "convolutional".
    Departures: the whole is fine-tuned to reconstruct its undamaged input, not to classify. Weights are not tied. Adam
    replaces gradient descent. Strided convolutions replace max-pooling, which loses the position of the maximum.
    """

    abilities = Autoencoder.abilities | {"layers"}
    encoder: nn.Sequential
    decoder: nn.Sequential

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        flavour: str = "denoising",
        layers: int = 3,
        p: float = 0.75,
        stages: float = 0.5,
        width: int = 512,
        distance: str = "squared",
    ):
        super().__init__(shape, code)
        if flavour == "convolutional" and len(self.shape) != 3:
            raise FieldError("flavour", "convolutions need images; these data are vectors: give denoising")
        self.encoder, self.decoder = stack(self.shape, code, flavour, layers, width)
        self.layers = (len(self.encoder) + 1) // 2
        self.flavour, self.p, self.stages, self.distance = flavour, p, stages, distance

    def layer(self, k: int) -> Layer:
        """A_k and B_k, k from 1 to n; A_k without its sigmoid."""
        return self.encoder[2 * k - 2], self.decoder[2 * (self.layers - k)]

    def through(self, x: Float[Tensor, "B *shape"], layers: int) -> Float[Tensor, "B *shape"]:
        """x̂ = B_1(…B_k(A_k(…A_1(x)))), through the first k = `layers` layers: (B, *shape) in [0, 1]."""
        up = self.encoder[: 2 * layers]  # A_1, sigmoid, …, A_k, sigmoid; the code itself has no sigmoid
        down = self.decoder[2 * (self.layers - layers) :]
        return down(up(x)).float().sigmoid()

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        if progress < self.stages:
            k = min(int(progress / self.stages * self.layers), self.layers - 1) + 1
            return {f"stage {k}": Player(self.layer(k), {"stage": 1.0})}
        return {"whole": Player((self.encoder, self.decoder), {"recon": 1.0})}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        if "whole" in players:
            return {"recon": distance(self.distance, batch.x, self.decoder(self.encoder(batch.x)))}
        (k,) = (k for k in range(1, self.layers + 1) if f"stage {k}" in players)
        with torch.no_grad():
            h = self.encoder[: 2 * k - 2](batch.x).float()  # h_{k−1}, clean
        h_tilde = erasures(h, self.p) if self.flavour == "denoising" else h
        _, B_k = self.layer(k)
        return {"stage": distance(self.distance, h, B_k(self.encoder[2 * k - 2 : 2 * k](h_tilde)))}


ENTRIES = (
    Entry(
        key="stacked",
        name="Stacked autoencoder",
        year=2010,
        section="§1",
        idea="Each layer first learns to reconstruct the layer below it; then all layers are trained together.",
        equation=r"\text{stage } k\colon\; \min_{A_k,B_k}\; \mathbb{E}\;"
        r" \term{stage}{\Delta\!\left(h_{k-1},\, B_k(A_k(\tilde{h}_{k-1}))\right)},\quad h_0 = x,\ h_k = A_k(h_{k-1});"
        r"\qquad \text{whole}\colon\; \min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta\!\left(x,\, B(A(x))\right)}",
        terms={
            "stage": Term("squared error, or nats", "how far the layer below is from its reconstruction"),
            "recon": Term("squared error, or nats", "how far the reconstruction by all layers is from the input"),
        },
        source="Vincent et al. (2010), JMLR 11:3371; Masci et al. (2011), doi:10.1007/978-3-642-21735-7_7; chapter §1",
        build=Stacked,
        params={
            "code": CODE,
            "flavour": Param(
                "denoising",
                choices=("denoising", "convolutional"),
                help="dense layers that restore erased values of the layer below, or convolutions (images only)",
            ),
            "layers": Param(3, 1, 6, 1, symbol="n", help="number of layers; convolutions end at images of 4 pixels"),
            "p": Param(0.75, 0.05, 1.0, 0.05, symbol="p", help="probability that a value is kept (denoising)"),
            "stages": Param(0.5, 0.0, 0.9, 0.05, help="share of the training in which layers are trained one by one"),
            "width": WIDTH,
            "distance": DISTANCE,
        },
        departures="fine-tuned to reconstruct, not to classify; weights are not tied; strided convolutions instead of "
        "max-pooling",
        plan={"lr": 1e-2, "epochs": 20},
    ),
)
