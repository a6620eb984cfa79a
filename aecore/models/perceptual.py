"""Chapter §5.4: reconstructions compared by what a frozen network sees in them."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from .. import nets
from ..data.base import Batch
from ..divergences import kl_standard
from ..entry import CODE, WIDTH, Entry, FieldError, Param, Term
from ..nets import Shape
from .base import Player, Stochastic

TAPS = {"random": (1, 3, 5), "mobilenet_v2": (1, 3, 6, 13), "vgg19": (1, 6, 11)}  # vgg19: relu1_1, relu2_1, relu3_1


def random_layers() -> nn.Sequential:
    """Three 3×3 convolutions with He's random weights, always the same ones: they need no file and no training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 32, 1), (32, 64, 2), (64, 64, 2)):
            convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight)
            layers += [convolution, nn.ReLU()]
        return nn.Sequential(*layers)


def torchvision_layers(name: str) -> nn.Sequential:
    """The convolutional part of a torchvision net with its ImageNet weights, downloaded once by torchvision."""
    from torchvision import models

    try:
        return models.get_model(name, weights="DEFAULT").features
    except OSError as error:
        remedy = f"{name} could not be downloaded ({error}); go online once, or choose random"
        raise FieldError("features", remedy) from error


class Frozen(nn.Module):
    """A pretrained network that only looks: it moves with the model, but is neither trained nor saved with it.

    name: of `TAPS`. Called with x (B, 1 or 3, H, W) in [0, 1], it returns the features of each tapped layer,
    (B, C_l, H_l, W_l).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str):
        super().__init__()
        layers = random_layers() if name == "random" else torchvision_layers(name)
        self.taps = TAPS[name]
        self.layers = layers[: self.taps[-1] + 1]
        for module in self.layers.modules():
            for key, weight in list(module._parameters.items()):
                if weight is not None:  # a buffer that is not saved, in place of a parameter
                    del module._parameters[key]
                    module.register_buffer(key, weight.detach(), persistent=False)
            module._non_persistent_buffers_set.update(module._buffers)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)
        super().train(False)

    def train(self, mode: bool = True) -> Frozen:
        return self  # its normalisation keeps ImageNet's statistics, whatever the model does

    def forward(self, x: Tensor) -> list[Tensor]:
        h = (x.expand(-1, 3, -1, -1) - self.mean) / self.std
        features = []
        for index, layer in enumerate(self.layers):
            h = layer(h)
            if index in self.taps:
                features.append(h)
        return features


class DFCVAE(Stochastic):
    """Deep-feature-consistent VAE: a frozen network Φ compares input and reconstruction, no pixel does.

    loss = α KL(q(z|x) ‖ N(0, I)) + β Σ_l ‖Φ_l(x) − Φ_l(x̂)‖² / (2 C_l H_l W_l).

    features: Φ, "random" or a torchvision net by name.  alpha, beta: α, β.

    Source: Hou et al. (2017), Eq. 2–4, arXiv:1610.00291.
    Departures: Φ is VGG-19 in the paper; the default is a small network with fixed random weights (Ustyuzhaninov et
    al., 2016, arXiv:1606.00021, use such for texture), so that nothing has to be downloaded. β = 100 where the paper
    has 0.5: its mean over a layer is small beside a KL that is a sum.
    """

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        features: str = "random",
        alpha: float = 1.0,
        beta: float = 100.0,
        net: str = "conv",
        width: int = 512,
    ):
        super().__init__(shape, code)
        if len(self.shape) != 3:
            raise FieldError("model", "a DFC-VAE needs images; these data are vectors: choose another model")
        self.encoder = nets.encoder(net, self.shape, 2 * code, width)
        self.decoder = nets.decoder(net, code, self.shape, width)
        self.features = Frozen(features)
        self.alpha, self.beta = alpha, beta

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"features": self.beta, "kl": self.alpha})}

    def terms(self, batch: Batch, players: Collection[str]) -> dict[str, Tensor]:
        x = batch.x
        qz_x = self.posterior(x)
        x_hat = self.decode(qz_x.rsample())
        pairs = zip(self.features(x), self.features(x_hat), strict=True)
        distances = [0.5 * (seen.float() - again.float()).square().flatten(1).mean(1) for seen, again in pairs]
        return {"features": torch.stack(distances).sum(0), "kl": kl_standard(qz_x)}


ENTRIES = (
    Entry(
        key="dfc_vae",
        name="Deep-feature-consistent VAE",
        year=2017,
        section="§5.4",
        idea="A network that has learned to see compares the images in place of their pixels.",
        equation=r"\alpha\, \term{kl}{D_{KL}\!\left(q(z|x)\,\Vert\,\mathcal{N}(0, I)\right)}"
        r" + \beta\, \term{features}{\textstyle\sum_l \tfrac{1}{2 C_l H_l W_l}"
        r"\lVert \Phi_l(x) - \Phi_l(\hat{x}) \rVert^2}",
        terms={
            "features": Term("squared features", "distance of x and x̂ in the frozen net, a mean per layer"),
            "kl": Term("nats", "KL(q(z|x) ‖ p(z)): how much the code says about the input (the rate)"),
        },
        source="Hou et al. (2017), arXiv:1610.00291; chapter §5.4",
        build=DFCVAE,
        params={
            "code": CODE,
            "features": Param("random", choices=tuple(TAPS), symbol=r"\Phi", help="the frozen network that compares"),
            "alpha": Param(1.0, 0.0, 100.0, 0.1, "log", r"\alpha", "weight of the KL"),
            "beta": Param(100.0, 0.1, 10000.0, 0.1, "log", r"\beta", "weight of the features"),
            "net": Param("conv", choices=("dense", "conv"), help="fully connected layers, or convolutions"),
            "width": WIDTH,
        },
        kinds=("image",),
        abilities=frozenset({"encode", "decode", "sample"}),
        departures="by default Φ has fixed random weights (the paper: VGG-19), so that nothing is downloaded; larger β",
    ),
)
