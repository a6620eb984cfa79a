"""Chapter §5.4: reconstructions compared by the features of a trained network."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.base import Batch, Split
from ..errors import FieldError
from ..nn.divergences import kl_standard
from ..nn.networks import Shape
from .base import GaussianCode, Player, Terms
from .entry import CODE, WIDTH, Entry, Param, Term

BLOCKS = 5
TAPS = {  # the last layer of each block that is compared, in torchvision's numbering
    "mobilenet_v2": (1, 3, 6, 13, 17),
    "vgg19": (1, 6, 11, 20, 29),  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
    "vgg19_bn": (2, 9, 16, 29, 42),  # the same
}
LABELS = 64  # outputs of the classifier; where there are more labels, some share an output
ROTATIONS = 4
SEEN = 2_000_000  # values of the images from which the variance of features is estimated: at most 512 images


class Classifier(nn.Module):
    """A small convolutional classifier: x (B, C, H, W) → logits (B, LABELS). Its features compare images.

    Five blocks of two 3×3 convolutions with ReLUs, as in VGG. Each block but the first begins with average pooling over
    2×2 pixels, until the shorter side is 4 or less. (Strided convolutions would be cheaper, but they do not distinguish
    a chequered x̂ from a smooth one, so that decoders then draw chequered images.) The mean of the last features over
    all positions goes to a linear layer.
    """

    def __init__(self, shape: Shape, widths: tuple[int, ...] = (32, 32, 64, 64, 64)):
        super().__init__()
        self.blocks = nn.ModuleList()
        channels, side = shape[0], min(shape[1:])
        for width in widths:
            layers: list[nn.Module] = []
            if len(self.blocks) and side > 4:
                layers.append(nn.AvgPool2d(2, ceil_mode=True))
                side = -(-side // 2)
            for inputs in (channels, width):
                convolution = nn.Conv2d(inputs, width, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                if convolution.bias is not None:
                    nn.init.zeros_(convolution.bias)
                layers += [convolution, nn.ReLU()]
            self.blocks.append(nn.Sequential(*layers))
            channels = width
        self.head = nn.Linear(channels, LABELS)

    def features(
        self, x: Float[Tensor, "B C H W"], first: int = 1, last: int = BLOCKS
    ) -> list[Float[Tensor, "B _ _ _"]]:
        """Φ_l(x), (B, C_l, H_l, W_l), for the blocks l = first … last."""
        seen, h = [], x
        for block in self.blocks[:last]:
            h = block(h)
            seen.append(h)
        return seen[first - 1 :]

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B labels"]:
        (h,) = self.features(x, BLOCKS)
        return self.head(h.mean((2, 3)))


def turned(x: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B C H W"], Int[Tensor, "B"]]:
    """Each image turned by a random multiple of 90°, and the number of quarter turns, (B,).

    Images that are not square are mirrored instead: not at all, left to right, top to bottom, or both.
    """
    quarters = torch.randint(ROTATIONS, (len(x),), device=x.device)
    if x.shape[2] == x.shape[3]:
        ways = [x.rot90(k, (2, 3)) for k in range(ROTATIONS)]
    else:
        ways = [x, x.flip(3), x.flip(2), x.flip(2, 3)]
    return torch.stack(ways)[quarters, torch.arange(len(x), device=x.device)], quarters


def torchvision_layers(name: str) -> nn.Sequential:
    """The convolutional part of a torchvision net with its ImageNet weights, downloaded once by torchvision.

    Raises FieldError where they cannot be downloaded.
    """
    from torchvision import models

    try:
        network: Any = models.get_model(name, weights="IMAGENET1K_V1")
    except OSError as error:
        remedy = "go online once, set TORCH_HOME to a folder with its file in hub/checkpoints, or choose classifier"
        raise FieldError("features", f"{name} could not be downloaded ({error}); {remedy}") from error
    return network.features


class Frozen(nn.Module):
    """A pretrained network that gives features. It moves with the model, but is neither trained nor saved with it.

    name: a key of `TAPS`.  last: the last block that is needed.
    Its weights are read when features are first needed, since decoding with a trained model needs none.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, last: int = BLOCKS):
        super().__init__()
        self.name, self.taps = name, TAPS[name][:last]
        self.layers = nn.Sequential()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)
        super().train(False)

    def load(self) -> None:
        """Read the weights onto the model's device. Raises FieldError where they cannot be downloaded."""
        # torchvision draws random weights before it reads them, which must not disturb a training
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
            layers = torchvision_layers(self.name)[: self.taps[-1] + 1].eval()
            for module in layers.modules():
                for key, weight in list(module._parameters.items()):
                    if weight is not None:  # replaced by a buffer that is not saved
                        del module._parameters[key]
                        module.register_buffer(key, weight.detach(), persistent=False)
                module._non_persistent_buffers_set.update(module._buffers)
            self.layers = layers.to(self.mean)  # outside of inference mode, since gradients pass through

    def train(self, mode: bool = True) -> Frozen:
        return self  # its normalisation keeps ImageNet's statistics in training, too

    def features(
        self, x: Float[Tensor, "B C H W"], first: int = 1, last: int = BLOCKS
    ) -> list[Float[Tensor, "B _ _ _"]]:
        """Φ_l(x), (B, C_l, H_l, W_l), for the blocks l = first … last; x (B, 1 or 3, H, W) in [0, 1]."""
        if not len(self.layers):
            self.load()
        h = (x.expand(-1, 3, -1, -1) - self.mean) / self.std
        seen = []
        for index, layer in enumerate(self.layers):
            h = layer(h)
            if index in self.taps[:last]:
                seen.append(h)
        return seen[first - 1 :]


class DFCVAE(GaussianCode):
    """Deep-feature-consistent VAE: input and reconstruction are compared by features of a trained network Φ.

    loss = α KL(q(z|x) ‖ N(0, I)) + β Σ_l ‖Φ_l(x) − Φ_l(x̂)‖² / (2 C_l H_l W_l s_l),  l = first … last,
    s_l the variance of Φ_l over the data, averaged over channels and positions like the square.

    features: Φ. The "classifier" is trained on the same data in a first stage, min −log p_Φ(y|x), and then frozen; y is
    the label or, without labels, the number of quarter turns of the image. Otherwise Φ is a torchvision net by name,
    with its ImageNet weights and normalisation.
    first, last: which of Φ's five blocks are compared, in either order; for VGG 1 … 3 are relu1_1, relu2_1, relu3_1.
    Without the first block much noise goes unnoticed, above all by a classifier of small images.
    pretraining: share of the training given to the classifier; 0 leaves its initial, random weights.
    alpha, beta: α, β.

    Raises FieldError where the data are vectors, or images too small for Φ's last block; and when features are first
    needed, where Φ's weights cannot be downloaded.

    Source: Hou et al. (2017), Eq. 2–4, arXiv:1610.00291 (VAE-123; VAE-345 is first = 3, last = 5). For the turned
    images: Gidaris et al. (2018), arXiv:1803.07728, here with one turn of each image in a minibatch instead of all
    four.
    Departures: Φ is VGG-19 in the paper; by default it is a classifier of the data at hand, so that nothing has to be
    downloaded and Φ knows such images. The paper has no s_l: without it, blocks with large features dominate, and the
    same β has another effect with every Φ. With s_l each block adds about ½ for an image that is lost entirely, whereas
    the KL is a sum over latent dimensions; therefore β = 100 instead of the paper's 0.5 (on 16×16 digits this gives the
    rate of a VAE with a Gaussian decoder and c = 10).
    """

    abilities = GaussianCode.abilities | {"features"}
    blocks = BLOCKS

    scale: Tensor

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        features: str = "classifier",
        first: int = 1,
        last: int = 3,
        pretraining: float = 0.25,
        alpha: float = 1.0,
        beta: float = 100.0,
        net: str = "conv",
        width: int = 512,
    ):
        if len(shape) != 3:
            raise FieldError("model", "a DFC-VAE needs images; these data are vectors: choose another model")
        first, last = sorted((first, last))
        if features.startswith("vgg") and min(shape[1:]) < 2 ** (last - 1):
            remedy = f"give images of {2 ** (last - 1)}×{2 ** (last - 1)} pixels or more, or fewer blocks"
            raise FieldError("last", f"block {last} of {features} sees nothing in images this small: {remedy}")
        super().__init__(shape, code, net=net, width=width)
        self.first, self.last = first, last
        self.learns = features == "classifier"
        self.eye = Classifier(self.shape) if self.learns else Frozen(features, self.last)
        self.register_buffer("scale", torch.ones(self.last - self.first + 1))
        self.pretraining, self.alpha, self.beta = pretraining, alpha, beta

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        if self.learns and progress < self.pretraining:
            return {"classifier": Player((self.eye,), {"label": 1.0})}
        return {"autoencoder": Player((self.encoder, self.decoder), {"features": self.beta, "kl": self.alpha})}

    def on_epoch_start(self, split: Split, progress: float) -> None:
        if "autoencoder" in self.players(progress):
            count = min(512, max(16, SEEN // math.prod(self.shape)), len(split))
            x = split.batch(torch.linspace(0, len(split) - 1, count).long()).x.to(self.scale.device)
            spreads = [f.float().var(0, correction=0).mean() for f in self.eye.features(x, self.first, self.last)]
            self.scale.copy_(torch.stack(spreads).clamp_min(1e-12))

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        if "classifier" in players:
            x, y = turned(batch.x) if batch.y is None else (batch.x, batch.y % LABELS)
            return {"label": F.cross_entropy(self.eye(x).float(), y, reduction="none")}
        qz_x = self.posterior(batch.x)
        x_hat = self.decode(qz_x.rsample())
        return {"features": self.distance(batch.x, x_hat), "kl": kl_standard(qz_x)}

    def features(self, x: Float[Tensor, "B C H W"], block: int) -> Float[Tensor, "B C_l H_l W_l"]:
        """Φ_l(x) of block l = `block`, from 1 to `blocks`: (B, C_l, H_l, W_l)."""
        return self.eye.features(x, block, block)[0]

    def distance(self, x: Float[Tensor, "B C H W"], x_hat: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
        """Σ_l ‖Φ_l(x) − Φ_l(x̂)‖² / (2 C_l H_l W_l s_l): (B,). Gradients reach x̂ only."""
        with torch.no_grad():
            seen = self.eye.features(x, self.first, self.last)
        again = self.eye.features(x_hat, self.first, self.last)
        layers = [0.5 * (a.float() - b.float()).square().flatten(1).mean(1) for a, b in zip(seen, again, strict=True)]
        return (torch.stack(layers) / self.scale[:, None]).sum(0)


BLOCK = "of the network's five blocks that is compared"
ENTRIES = (
    Entry(
        key="dfc_vae",
        name="Deep-feature-consistent VAE",
        year=2017,
        section="§5.4",
        idea="Images are compared by the features of a trained network instead of by their pixels.",
        equation=r"\min_{\Phi}\; \term{label}{-\log p_{\Phi}(y|x)},\quad\text{then}\ \min_{A,B}\;"
        r" \alpha\, \term{kl}{D_{KL}\!\left(q(z|x)\,\Vert\,\mathcal{N}(0, I)\right)}"
        r" + \beta\, \term{features}{\textstyle\sum_l \tfrac{1}{2 C_l H_l W_l s_l}"
        r"\lVert \Phi_l(x) - \Phi_l(\hat{x}) \rVert^2}",
        terms={
            "label": Term("nats", "the classifier's cross-entropy on the labels, or on the turns of unlabelled images"),
            "features": Term(
                "share of variance", "half the share of the features' variance that x̂ misses, summed over blocks"
            ),
            "kl": Term("nats", "KL(q(z|x) ‖ p(z)): how much the code says about the input (the rate)"),
        },
        source="Hou et al. (2017), arXiv:1610.00291; chapter §5.4",
        build=DFCVAE,
        params={
            "code": CODE,
            "features": Param(
                "classifier",
                choices=("classifier", *TAPS),
                symbol=r"\Phi",
                help="the network whose features are compared: a classifier trained first, on labels or turned images; "
                "the others have ImageNet's weights, which torchvision downloads once (vgg19: 550 MB, as in the paper)",
            ),
            "first": Param(1, 1, BLOCKS, 1, help=f"the first {BLOCK}"),
            "last": Param(3, 1, BLOCKS, 1, help=f"the last {BLOCK}"),
            "pretraining": Param(
                0.25, 0.0, 0.9, 0.05, help="share of the training for the classifier; 0: Φ stays random"
            ),
            "alpha": Param(1.0, 0.0, 100.0, 0.1, "log", r"\alpha", "weight of the KL"),
            "beta": Param(100.0, 0.1, 10000.0, 0.1, "log", r"\beta", "weight of the distance between features"),
            "net": Param("conv", choices=("dense", "conv"), help="fully connected layers, or convolutions"),
            "width": WIDTH,
        },
        kinds=("image",),
        departures="by default Φ is a classifier of the same data (the paper: VGG-19); the error of each block is "
        "divided by its variance, and therefore β = 100 (the paper: 0.5)",
    ),
)
