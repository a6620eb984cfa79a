"""Chapter §5.5: images generated pixel by pixel.

All models here share the orders of pixels (rows from the top, columns, and both from the end; the channels of a pixel
in turn), the distributions of values (`pixel_distributions`) and the last layers. They differ in the network that
gives each pixel its features from the pixels before it, and in the condition.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..data.base import Batch
from ..device import Replays
from ..errors import FieldError
from ..nn import networks
from ..nn.causal import GatedStacks, RowLSTM, affine, bias, with_one
from ..nn.distributions import sum_dims
from ..nn.networks import Shape
from ..nn.pixel_distributions import VALUES, Values
from .base import Model, Player, Terms
from .entry import CLASSES, CODE, NET, WIDTH, Entry, Param, Term

ORDERS = ("rows", "columns", "rows from the end", "columns from the end")
DECODING_SEED = 20160616  # of the noise with which every code is decoded


class PixelByPixel(Model):
    """Images by the chain rule: log p(x|h) = Σ_i log p(x_i | x_1 … x_{i−1}, h), exactly.

    network: features of each pixel from the pixels before it and from a condition h.  head: the last layers (`ending`).
    values: the distribution of a value, one of `pixel_distributions.VALUES`: 0 or 1, or 256 levels with a logit for
    each or a mixture of logistics.  binary: how grey values become 0 and 1 where values are binary: "drawn" samples
    x ~ Ber(x) anew at each step, "threshold" compares x with ½.
    order: of the pixels, one of ORDERS. The network always goes by rows from the top left; for other orders the image
    is transposed or turned first.
    convolutional: whether all features come from convolutions, and none from a state that is passed from row to row.
    """

    sequential = True
    convolutional = True
    network: GatedStacks | RowLSTM
    head: nn.Sequential

    def __init__(self, shape: Shape, binary: str = "drawn", order: str = "rows", values: str = "binary"):
        super().__init__(shape)
        if len(self.shape) != 3:
            raise FieldError("model", "this model draws the pixels of images; these data are vectors: choose another")
        self.channels, self.binary, self.order = self.shape[0], binary, order
        self.values: Values = VALUES[values](self.channels)
        self._replays = Replays()

    def turned(self, x: Shaped[Tensor, "*any h w"]) -> Shaped[Tensor, "*any h_turned w_turned"]:
        """x (…, H, W), transposed or turned so that this model's order goes by rows from the top left.

        A condition (…, 1, 1) stays as it is.
        """
        x = x.flip(-1, -2) if self.order.endswith("end") else x
        return x.transpose(-1, -2) if self.order.startswith("columns") else x

    def restored(self, x: Shaped[Tensor, "*any h w"]) -> Shaped[Tensor, "*any h_restored w_restored"]:
        """The inverse of `turned`."""
        x = x.transpose(-1, -2) if self.order.startswith("columns") else x
        return x.flip(-1, -2) if self.order.endswith("end") else x

    def sequence(self) -> Int[Tensor, "pixels 2"]:
        """Row and column of each pixel in the order in which they are drawn: (H W, 2)."""
        height, width = self.shape[1:]
        places = torch.cartesian_prod(torch.arange(height), torch.arange(width)).T.view(2, height, width)
        return self.turned(places).flatten(1).T

    def ending(self, features: int, width: int) -> nn.Sequential:
        """The last layers, which give the parameters of each pixel's distributions."""
        outputs = self.values.outputs
        return nn.Sequential(nn.ReLU(), nn.Conv2d(features, width, 1), nn.ReLU(), nn.Conv2d(width, outputs, 1))

    def modelled(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
        """x (B, *shape) in [0, 1] turned into values that the model can take, by sampling or by rounding."""
        return torch.bernoulli(x) if self.values.levels == 2 and self.binary == "drawn" else self.rounded(x)

    def rounded(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """x (B, *shape) in [0, 1] rounded to the nearest values of the model; where these are 0 and 1, ½ becomes 0."""
        return (x > 0.5).to(x.dtype) if self.values.levels == 2 else self.values.rounded(x)

    def outputs(
        self, x: Float[Tensor, "B C H W"], given: Float[Tensor, "_ K _ _"] | None = None
    ) -> Float[Tensor, "B outputs _ _"]:
        """The parameters of each pixel's distributions from the pixels before it: (B, outputs, H, W), turned.

        given: the condition h as the network takes it, (B, K, 1, 1) or (B, K, H, W).
        """
        features = self.network(self.turned(x), None if given is None else self.turned(given))
        hidden = self.head[:3](features)
        with torch.autocast(hidden.device.type, enabled=False):  # bf16 is too coarse for a distribution's location
            return self.head[3](hidden.to(next(self.head[3].parameters()).dtype))

    @property
    def output_size(self) -> int:
        return self.values.outputs * math.prod(self.shape[1:])

    def laws(
        self, x: Float[Tensor, "B C H W"], given: Float[Tensor, "_ K _ _"] | None = None
    ) -> list[Float[Tensor, "B P H W"]]:
        """For each channel the law of its values given those before: (B, P, H, W), see `pixel_distributions.Values`."""
        return [self.restored(law) for law in self.values.laws(self.outputs(x, given), self.turned(x))]

    def log_probs(
        self, x: Float[Tensor, "B C H W"], given: Float[Tensor, "_ K _ _"] | None = None
    ) -> Float[Tensor, "B C H W"]:
        """log p(x_i | x_{<i}, h) of each value of x, whose values are levels: (B, *shape) nats."""
        return self.restored(self.values.log_probs(self.outputs(x, given), self.turned(x)))

    def noise(self, n: int, generator: Generator | None = None) -> Float[Tensor, "n C H W"]:
        """Noise from which images are drawn by inverting distribution functions: uniform in [0, 1), (n, *shape)."""
        device = None if generator is None else generator.device
        return torch.rand(n, *self.shape, generator=generator, device=device)

    def draw(
        self,
        noise: Float[Tensor, "n C H W"],
        given: Float[Tensor, "_ K _ _"] | None = None,
        temperature: float = 1.0,
        image: Float[Tensor, "C H W"] | None = None,
        known: Bool[Tensor, "H W"] | None = None,
    ) -> Float[Tensor, "n C H W"]:
        """Draw images (n, *shape), pixel by pixel, from noise (n, *shape) in [0, 1).

        temperature: log p of each value is divided by it.  image: (*shape).  known: (H, W) bool, which of its pixels
        are kept and not drawn.

        Each activation is computed once (`causal.GatedCache`, `causal.RowCache`) and not anew for every pixel. On a
        CUDA device the whole computation is captured as one CUDA graph when as many images are drawn with the same
        settings a second time. Images carry no gradient.
        """
        temperature = max(temperature, 1e-6)
        with torch.inference_mode():
            thresholds = self.turned(self.values.thresholds(noise.to(next(self.parameters())), temperature))
            given = thresholds.new_empty(0) if given is None else self.turned(given)
            kept = [] if image is None or known is None else self.turned(known).tolist()
            image = self.turned(image.to(thresholds)) if image is not None and kept else thresholds.new_empty(0)
            inputs = (thresholds, given, image)
            if thresholds.is_cuda:
                shapes, kept_pixels = tuple(x.shape for x in inputs), tuple(map(tuple, kept))
                addresses = tuple(parameter.data_ptr() for parameter in self.parameters())
                heat = self.values.levels > 2 and temperature  # binary values have the temperature in their thresholds
                work = partial(self._draw, temperature=temperature, kept=kept)
                x = self._replays((shapes, kept_pixels, addresses, heat), work, *inputs)
            else:
                x = self._draw(*inputs, temperature, kept)
        return self.restored(x).clone()  # a tensor made in inference mode cannot be used in a gradient

    def _draw(
        self, thresholds: Tensor, given: Tensor, image: Tensor, temperature: float, kept: list[list[bool]]
    ) -> Tensor:
        """`draw` for turned tensors; `given` and `image` are empty where there is none."""
        n, _, height, width = thresholds.shape
        cache = self.network.cache(n, width, given if len(given) else None)
        into, out = self.head[1], self.head[3]
        assert isinstance(into, nn.Conv2d) and isinstance(out, nn.Conv2d)
        hidden, hidden_values = with_one(thresholds, n, into.out_channels)
        into_matrix, into_bias, out_matrix = into.weight[:, :, 0, 0].T, bias(into), affine(out)
        params = thresholds.new_empty(n, out.out_channels)
        law, draw = self.values.law, self.values.draw
        x = thresholds.new_empty(height, width, n, self.channels)
        for i, (row, wanted) in enumerate(zip(x, thresholds.permute(2, 3, 1, 0).contiguous(), strict=True)):
            cache.next_row()
            for j, (pixel, u) in enumerate(zip(row.unbind(), wanted.unbind(), strict=True)):
                features = cache.features(j)  # also for a known pixel, since later pixels depend on it
                if kept and kept[i][j]:
                    pixel.copy_(image[:, i, j])
                else:
                    torch.addmm(into_bias, features.relu_(), into_matrix, out=hidden_values).relu_()
                    torch.mm(hidden, out_matrix, out=params)
                    for c in range(self.channels):
                        draw(law(params, pixel, c), u[c], temperature, pixel[:, c])
                torch.add(-1, pixel, alpha=2, out=cache.pixels[j])
        return x.permute(2, 3, 0, 1).contiguous()


class ImageDensity(PixelByPixel):
    """A density of images, or one density for each label, without a code.

    classes: C, how many labels y condition the network, one-hot; 0 for none.
    """

    abilities = frozenset({"sample", "density", "pixelwise"})

    def __init__(
        self, shape: Shape, binary: str = "drawn", classes: int = 0, order: str = "rows", values: str = "binary"
    ):
        super().__init__(shape, binary, order, values)
        self.classes = classes

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"network": Player((self.network, self.head), {"nll": 1.0})}

    def given(self, y: Int[Tensor, "n"] | None, n: int) -> Float[Tensor, "n K 1 1"] | None:
        """Labels (n,) one-hot, (n, C, 1, 1); the classes in turn where y is None. None for a model without classes."""
        if not self.classes:
            return None
        like = next(self.parameters())
        (y,) = self.condition(n, y)
        return F.one_hot(y.to(like.device), self.classes).to(like.dtype)[..., None, None]

    def log_prob(self, x: Float[Tensor, "B C H W"], y: Int[Tensor, "B"] | None = None) -> Float[Tensor, "B"]:
        """log p(x), exact, for x (B, *shape) of modelled values: (B,) nats.

        y: labels (B,), for log p(x|y). Without them, where there are classes, log (1/C) Σ_y p(x|y).
        """
        if self.classes and y is None:
            each = [self.log_prob(x, torch.full((len(x),), c)) for c in range(self.classes)]
            return torch.stack(each).logsumexp(0) - math.log(self.classes)
        return sum_dims(self.log_probs(x, self.given(y, len(x))))

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        return {"nll": -self.log_prob(self.modelled(batch.x), batch.y)}

    def sample(
        self,
        n: int,
        temperature: float = 1.0,
        generator: Generator | None = None,
        y: Int[Tensor, "n"] | None = None,
    ) -> Float[Tensor, "n C H W"]:
        """n images (n, *shape).

        temperature: log p of each value is divided by it.  y: labels (n,); by default the classes in turn.
        """
        return self.draw(self.noise(n, generator), self.given(y, n), temperature)


class PixelCNN(ImageDensity):
    """Gated PixelCNN: the chain rule over pixels, with an exact likelihood and no code.

    log p(x|y) = Σ_i log p(x_i | x_1 … x_{i−1}, y), pixel after pixel; the channels of a pixel in turn.

    width: p, feature maps.  layers: gated layers; the first has 7×7 filters, the others 3×3.
    values, binary, order: see `PixelByPixel`.  classes: C, how many labels y condition every layer; 0 for none.

    Source: van den Oord et al. (2016), arXiv:1606.05328, Fig. 2, Eq. 2, 3.
    Departures: binary by default, where the paper's pixels have 256 levels; the channels of one pixel depend on each
    other linearly, as in Salimans et al. (2017), arXiv:1701.05517, not through masked features.
    """

    def __init__(
        self,
        shape: Shape,
        width: int = 32,
        layers: int = 6,
        binary: str = "drawn",
        classes: int = 0,
        order: str = "rows",
        values: str = "binary",
    ):
        super().__init__(shape, binary, classes, order, values)
        self.network = GatedStacks(self.channels, width, layers, classes)
        self.head = self.ending(self.network.features, width)


class PixelRNN(ImageDensity):
    """PixelRNN with row LSTMs: a state that is passed from row to row carries what a pixel knows of the rows above it.

    log p(x|y) = Σ_i log p(x_i | x_1 … x_{i−1}, y), in the order of `PixelCNN`.

    width: p, hidden units of a layer at each pixel.  layers: how many layers of row LSTM.
    values, binary, classes, order: as in `PixelCNN`.

    Source: van den Oord et al. (2016), arXiv:1601.06759, §3.1, Table 1.
    Departures: pixels and channels as in `PixelCNN`; labels condition the model as in the later paper, on PixelCNN.
    """

    convolutional = False

    def __init__(
        self,
        shape: Shape,
        width: int = 16,
        layers: int = 4,
        binary: str = "drawn",
        classes: int = 0,
        order: str = "rows",
        values: str = "binary",
    ):
        super().__init__(shape, binary, classes, order, values)
        self.network = RowLSTM(self.channels, width, layers, classes)
        self.head = self.ending(self.network.features, 2 * width)


class PixelCNNDecoder(PixelByPixel):
    """An autoencoder whose decoder is a PixelCNN: the code says what to draw, and the PixelCNN draws it.

    min −log p(x|h),  h = encoder(x);  the condition of every layer is s = m(h), a map of the image's size.

    code: d.  net, width: of the encoder, and of m, its mirror.  sketch: features of s.
    maps: p, feature maps of the PixelCNN.  layers: its gated layers.  values, binary, order: as in `PixelCNN`.

    Source: van den Oord et al. (2016), arXiv:1606.05328, §2.3 (Eq. 5), §2.4; chapter §5.5.
    Departures: pixels and channels as in `PixelCNN`; the encoder sees the grey image, whereas the decoder draws only
    values that the model can take. `decode` uses the same noise for every code, so that a code always gives the same
    image and similar codes give similar images.
    """

    abilities = frozenset({"encode", "decode", "pixelwise", "variations"})

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        net: str = "dense",
        width: int = 512,
        sketch: int = 4,
        maps: int = 32,
        layers: int = 6,
        binary: str = "drawn",
        order: str = "rows",
        values: str = "binary",
    ):
        super().__init__(shape, binary, order, values)
        self.code = code
        self.encoder = networks.encoder(net, self.shape, code, width)
        self.sketch = networks.decoder(net, code, (sketch, *self.shape[1:]), width)
        self.network = GatedStacks(self.channels, maps, layers, sketch)
        self.head = self.ending(maps, maps)

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.sketch, self.network, self.head), {"nll": 1.0})}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x = self.modelled(batch.x)
        return {"nll": -self.log_prob_given(x, self.encode(batch.x))}

    def log_prob_given(self, x: Float[Tensor, "B C H W"], h: Float[Tensor, "B D"]) -> Float[Tensor, "B"]:
        """log p(x|h), exact, for x (B, *shape) of modelled values and codes h (B, D): (B,) nats."""
        return sum_dims(self.log_probs(x, self.sketch(h)))

    def encode(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """x (B, *shape) → code h (B, D)."""
        return self.encoder(x)

    def decode(self, h: Float[Tensor, "B D"]) -> Float[Tensor, "B C H W"]:
        """One image (B, *shape) for each code h (B, D), always drawn with the same noise."""
        noise = self.noise(1, Generator().manual_seed(DECODING_SEED))
        return self.draw(noise.expand(len(h), *self.shape), self.sketch(h))

    def variations(
        self, h: Float[Tensor, "B D"], temperature: float = 1.0, generator: Generator | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Images (B, *shape) of codes h (B, D) as by `decode`, but each drawn with noise of its own.

        temperature: log p of each value is divided by it.
        """
        return self.draw(self.noise(len(h), generator), self.sketch(h), temperature)


CHAIN = r"-\textstyle\sum_i \log p(x_i \mid x_1, \ldots, x_{i-1}"
NLL = Term("nats", "−log p(x), exactly: how unlikely the image is, pixel after pixel")
DEPARTURES = "pixels are binary by default, not of 256 levels; the channels of a pixel depend on each other linearly"
MAPS = Param(32, 8, 128, 8, "log", "p", "number of feature maps of a layer")
BINARY = Param(
    "drawn",
    choices=("drawn", "threshold"),
    help="how grey pixels become black or white where values are binary: at random, or by the threshold one half",
)
KINDS = Param("binary", choices=tuple(VALUES), help="0 or 1; or 256 levels, by logits or by logistics")
ORDER = Param("rows", choices=ORDERS, help="order of drawing the pixels: by rows or columns, from the first or last")
SKETCH = Param(4, 1, 64, 1, "log", help="features of the map, made from the code, that conditions all layers")
LAYERS = Param(6, 1, 16, 1, help="number of gated layers; more of them let a pixel see farther")

ENTRIES = (
    Entry(
        key="pixelcnn",
        name="PixelCNN",
        year=2016,
        section="§5.5",
        idea="There is no code at all: each pixel is drawn given the pixels before it.",
        equation=rf"\min\; \mathbb{{E}}\; \term{{nll}}{{{CHAIN})}}",
        terms={"nll": NLL},
        source="van den Oord et al. (2016), arXiv:1606.05328; chapter §5.5",
        build=PixelCNN,
        params={"width": MAPS, "layers": LAYERS, "binary": BINARY, "classes": CLASSES, "order": ORDER, "values": KINDS},
        kinds=("image",),
        plan={"batch": 64, "lr": 5e-3},
        departures=DEPARTURES,
    ),
    Entry(
        key="pixelrnn",
        name="PixelRNN",
        year=2016,
        section="§5.5",
        idea="Each pixel is drawn given a memory that is passed down from row to row.",
        equation=rf"\min\; \mathbb{{E}}\; \term{{nll}}{{{CHAIN})}}",
        terms={"nll": NLL},
        source="van den Oord et al. (2016), arXiv:1601.06759; chapter §5.5",
        build=PixelRNN,
        params={
            "width": Param(16, 4, 128, 4, "log", "p", "hidden units of a layer at each pixel"),
            "layers": Param(4, 1, 12, 1, help="number of layers of row LSTM"),
            "binary": BINARY,
            "classes": CLASSES,
            "order": ORDER,
            "values": KINDS,
        },
        kinds=("image",),
        plan={"batch": 64, "lr": 5e-3},
        departures=DEPARTURES,
    ),
    Entry(
        key="pixelcnn_decoder",
        name="PixelCNN decoder",
        year=2016,
        section="§5.5",
        idea="The code describes the image, and a PixelCNN draws it: always sharp, and each time a little differently.",
        equation=rf"\min\; \mathbb{{E}}\; \term{{nll}}{{{CHAIN}, h)}}, \quad h = \mathrm{{enc}}(x)",
        terms={"nll": Term("nats", "−log p(x|h): how unlikely the image is, given its code")},
        source="van den Oord et al. (2016), arXiv:1606.05328, §2.4; chapter §5.5",
        build=PixelCNNDecoder,
        params={
            "code": CODE,
            "net": NET,
            "width": WIDTH,
            "sketch": SKETCH,
            "maps": MAPS,
            "layers": LAYERS,
            "binary": BINARY,
            "order": ORDER,
            "values": KINDS,
        },
        kinds=("image",),
        plan={"batch": 64, "lr": 5e-3},
        departures=f"{DEPARTURES}; every code is decoded with the same noise",
    ),
)
