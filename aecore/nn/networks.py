"""Encoders and decoders. An encoder maps (B, *shape) to (B, out), a decoder (B, code) to (B, *shape) logits.

Logits are brought into [0, 1] by the likelihood (`distributions`), never by a network.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import FieldError

Shape = tuple[int, ...]


class Reshape(nn.Module):
    """(B, …) to (B, *shape)."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape

    def forward(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B *shape"]:
        return x.reshape(len(x), *self.shape)


class Conv2d(nn.Conv2d):
    """nn.Conv2d, faster in training on a CPU: (B, in, H, W) to (B, out, H', W').

    The bias is added after the convolution, since oneDNN then takes faster kernels, above all for gradients in
    bfloat16. In training its outputs may differ from those of nn.Conv2d in the last bits; in eval mode they are the
    same.
    """

    def forward(self, input: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O h w"]:
        if self.bias is None or not self.training or input.device.type != "cpu":
            return super().forward(input)
        result = self._conv_forward(input, self.weight, None)
        return result.add_(self.bias.to(result.dtype).view(-1, 1, 1))


class ConvTranspose2d(nn.ConvTranspose2d):
    """nn.ConvTranspose2d, faster in training on a CPU: (B, in, H, W) to (B, out, H', W').

    As in `Conv2d` the bias is added afterwards. With few output channels it is one matrix product, whose results are
    added where they overlap, since oneDNN's kernels compute 16 channels at least.
    """

    FEW = 4  # output channels

    def forward(
        self, input: Float[Tensor, "B I H W"], output_size: list[int] | None = None
    ) -> Float[Tensor, "B O h w"]:
        if self.bias is None or not self.training or input.device.type != "cpu" or output_size is not None:
            return super().forward(input, output_size)
        if self.out_channels <= self.FEW and self.groups == 1:
            patches = input.permute(0, 2, 3, 1).flatten(1, 2) @ self.weight.flatten(1)  # (B, H W, out · k · k)
            size = [
                (side - 1) * step - 2 * margin + spread * (kernel - 1) + more + 1
                for side, step, margin, spread, kernel, more in zip(
                    input.shape[2:],
                    self.stride,
                    self.padding,
                    self.dilation,
                    self.kernel_size,
                    self.output_padding,
                    strict=True,
                )
            ]
            result = F.fold(
                patches.transpose(1, 2).float(), size, self.kernel_size, self.dilation, self.padding, self.stride
            )
        else:
            result = F.conv_transpose2d(
                input, self.weight, None, self.stride, self.padding, self.output_padding, self.groups, self.dilation
            )
        return result.add_(self.bias.to(result.dtype).view(-1, 1, 1))


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with He's initial weights, N(0, 2 / inputs), and initial biases of 0.

    PyTorch's default has a sixth of that variance, which shrinks a signal 90-fold on its way through encoder and
    decoder: after 15 epochs on 4,000 digits the test error was 5.2 instead of 3.5 (PCA: 4.8).
    Source: He et al. (2015), arXiv:1502.01852.
    """
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def of_codes(code: int, outputs: int) -> nn.Linear:
    """The first layer of a decoder with ReLUs: initial weights N(0, 1 / code) and initial biases N(0, 1).

    Without biases such a decoder is homogeneous, B(αz) = αB(z) for α > 0. The length of z then sets how dark images
    are, and z = 0 decodes to grey; but posterior means lie near 0 wherever latent dimensions are unused. After 5 epochs
    on digits of 16 × 16 pixels the squared error of images decoded from a VAE's means was 0.50 of the images' variance
    instead of 0.42, and that of a β-VAE, whose code was nearly unused, 2.4 instead of 1.0 (two seeds each).
    """
    layer = nn.Linear(code, outputs)
    nn.init.normal_(layer.weight, std=code**-0.5)
    nn.init.normal_(layer.bias)
    return layer


def mlp(sizes: list[int]) -> nn.Sequential:
    """Linear layers of these sizes with ReLUs between them; none after the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def halvings(shape: Shape) -> list[tuple[int, int]]:
    """Spatial sizes of the strided convolutions, the input's first, until the shorter side is 4 or less."""
    sizes = [(shape[1], shape[2])]
    while min(sizes[-1]) > 4:
        height, width = sizes[-1]
        sizes.append((height // 2, width // 2))
    return sizes


def channels(width: int, stages: int) -> list[int]:
    """Channels after each stage: width / 16, then doubling up to four times that."""
    first = max(width // 16, 4)
    return [first * min(2**stage, 4) for stage in range(stages)]


def normalised(channels: int) -> list[nn.Module]:
    """Normalisation over each example's channels and pixels, followed by a ReLU.

    Without it Adam with a learning rate of 1e-3 drives the decoder to a black, saturated image within 40 steps (squared
    error, digits). Each example is normalised by itself, so that an image's code does not depend on its neighbours.
    """
    return [nn.GroupNorm(1, channels), nn.ReLU()]


def trunk(net: str, shape: Shape, width: int) -> tuple[nn.Sequential, int]:
    """All layers of an encoder except the last, (B, *shape) → (B, F), and F.

    net: "dense" has two hidden layers; "conv" (images only) has strided 4×4 convolutions, each of which halves the
    image and is normalised per example (`normalised`).
    """
    if net == "dense":
        return nn.Sequential(nn.Flatten(), *mlp([math.prod(shape), width, width]), nn.ReLU()), width
    if len(shape) != 3:
        raise FieldError("net", "convolutions need images; these data are vectors: give dense")
    sizes = halvings(shape)
    counts = [shape[0], *channels(width, len(sizes) - 1)]
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(counts):
        layers += [Conv2d(inputs, outputs, 4, stride=2, padding=1), *normalised(outputs)]
    return nn.Sequential(*layers, nn.Flatten()), counts[-1] * math.prod(sizes[-1])


def critic_trunk(net: str, shape: Shape, width: int) -> tuple[nn.Sequential, int]:
    """All layers of a critic except the last, (B, *shape) → (B, F), and F.

    Its slope must be bounded from outside, by a penalty or by clipped weights. It has leaky ReLUs, since a unit that is
    off for all fakes would give the generator no gradient. It has no normalisation, which would hide how far fakes are
    from the data.
    """
    if net == "dense":
        sizes = [math.prod(shape), width, width]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers), width
    if len(shape) != 3:
        raise FieldError("net", "convolutions need images; these data are vectors: give dense")
    sides = halvings(shape)
    counts = [shape[0], *channels(width, len(sides) - 1)]
    layers = []
    for inputs, outputs in itertools.pairwise(counts):
        layers += [Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten()), counts[-1] * math.prod(sides[-1])


def conv_decoder(code: int, shape: Shape, width: int) -> nn.Sequential:
    """The mirror image of the convolutional encoder: a linear layer, then transposed convolutions to the exact size."""
    sizes = halvings(shape)
    counts = [shape[0], *channels(width, len(sizes) - 1)]
    layers: list[nn.Module] = [
        nn.Linear(code, counts[-1] * math.prod(sizes[-1])),
        Reshape((counts[-1], *sizes[-1])),
        nn.ReLU(),
    ]
    for stage in range(len(sizes) - 1, 0, -1):
        (height, breadth), (low, narrow) = sizes[stage - 1], sizes[stage]
        odd = (height - 2 * low, breadth - 2 * narrow)  # a halving that rounded down lost one row or column
        layers += [
            ConvTranspose2d(counts[stage], counts[stage - 1], 4, stride=2, padding=1, output_padding=odd),
            *(normalised(counts[stage - 1]) if stage > 1 else []),
        ]
    return nn.Sequential(*layers)


def encoder(net: str, shape: Shape, out: int, width: int) -> nn.Sequential:
    """An encoder (B, *shape) → (B, out): the layers of `trunk`, then a linear one."""
    layers, features = trunk(net, shape, width)
    return nn.Sequential(*layers, linear(features, out))


def decoder(
    net: str, code: int, shape: Shape, width: int, first: Callable[[int, int], nn.Linear] = of_codes
) -> nn.Sequential:
    """A decoder (B, code) → (B, *shape) logits: the mirror image of `encoder`.

    first: makes the first layer of a dense decoder. A generator that is judged only by its samples uses `linear`: with
    `of_codes` half of the signal does not depend on the code at the start of training, and a WGAN kept 11 modes of 25
    instead of 19.
    """
    if net == "dense":
        layers = mlp([code, width, width, math.prod(shape)])
        layers[0] = first(code, width)
        return nn.Sequential(layers, Reshape(shape))
    if len(shape) != 3:
        raise FieldError("net", "convolutions need images; these data are vectors: give dense")
    return conv_decoder(code, shape, width)
