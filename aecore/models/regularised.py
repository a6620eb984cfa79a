"""Chapter §2: autoencoders with a penalty, noise or a Jacobian as regulariser."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data.base import Batch
from ..nn import networks
from ..nn.distributions import distance, noise, sum_dims
from ..nn.networks import Shape
from .base import Autoencoder, PlainCode, Player, Terms
from .entry import CODE, DISTANCE, NET, WIDTH, Entry, Param, Term

ERASED = 0.5
"""The value of erased patches. No image of 8 bits contains it, since it would be 127.5 / 255; it is shown as grey."""


def gaussian_noise(x: Float[Tensor, "*any"], sigma: float) -> Float[Tensor, "*any"]:
    """x̃ ~ N(x, σ² I) (Eq. 4)."""
    return x + sigma * noise(x)


def erasures(x: Float[Tensor, "*any"], p: float) -> Float[Tensor, "*any"]:
    """x̃ = β ⊙ x, β ~ Ber(p), where p is the probability that a value is KEPT (Eq. 5)."""
    return x * torch.empty_like(x).bernoulli_(p)


def kl_bernoulli(p: float, p_hat: Float[Tensor, "D"]) -> Float[Tensor, "D"]:
    """KL(Ber(p) ‖ Ber(p̂_j)) for every latent dimension j, in the shape of p̂: nats."""
    p_hat = p_hat.clamp(1e-6, 1 - 1e-6)
    return p * (math.log(p) - p_hat.log()) + (1 - p) * (math.log(1 - p) - (1 - p_hat).log())


class SparseL1(Autoencoder):
    """Sparse autoencoder: the loss contains the activations of the code, so that few units are active.

    loss = Δ(x, B(a)) + λ Σ_j |a_j|,  a = ReLU(A(x)),  B(a) = Σ_j a_j b_j + b_0 (as logits),  ‖b_j‖ = 1 (Eq. 2).

    lam: λ.  A unit is active for x where a_j(x) > 0; the ReLU's zeros are exact.

    Source: Olshausen & Field (1996), doi:10.1038/381607a0, for the penalty and the linear dictionary; chapter Eq. 2.
    Departures: codes are computed by an encoder, not by an optimisation for each image. The decoder is one linear layer
    whose columns b_j are kept at length 1. Otherwise the encoder could halve all activations and the decoder could
    double its weights, which would lower the penalty without any learning. Only the code's activations are summed, not
    those of the layers before it, whose scale is free in the same way.
    """

    def __init__(
        self,
        shape: Shape,
        code: int = 128,
        lam: float = 0.05,
        net: str = "dense",
        width: int = 512,
        distance: str = "squared",
    ):
        super().__init__(shape, code)
        self.encoder = nn.Sequential(networks.encoder(net, self.shape, code, width), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(code, math.prod(self.shape)), networks.Reshape(self.shape))
        self.lam, self.distance = lam, distance
        self.after_step("autoencoder")

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "sparsity": self.lam})}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x = batch.x
        a = self.encoder(x)
        return {"recon": distance(self.distance, x, self.decoder(a)), "sparsity": sum_dims(a.abs())}

    @torch.no_grad()
    def after_step(self, player: str) -> None:
        """Rescale the columns to ‖b_j‖ = 1."""
        columns = self.decoder.get_parameter("0.weight")  # (V, D)
        columns /= columns.norm(dim=0).clamp_min(1e-12)


class SparseKL(PlainCode):
    """Sparse autoencoder: each unit is active with a small mean probability p over the batch.

    loss = Δ(x, B(A(x))) + λ Σ_j KL(p ‖ p̂_j),  p̂_j = (1/m) Σ_i a_j(x_i),  a = sigmoid(A(x)) (Eq. 3).

    p: the target activation.  lam: λ.  keywords: those of `PlainCode`.

    Source: Ng (2011), CS294A lecture notes, Sparse autoencoder; chapter Eq. 3.
    Departures: Eq. 3 has no λ (it is 1); since the reconstruction error is summed over pixels, the penalty needs a
    larger weight. There is no weight decay, so that only the mean activation of a unit is controlled: the unit need not
    be inactive for most images. Activations start at p, and the decoder's initial weights suit activations of 0 or 1.
    With activations that start at ½ and the usual weights, the error on digits after 5 epochs was 0.91 of their
    variance instead of 0.4.
    """

    def __init__(self, shape: Shape, code: int = 64, p: float = 0.05, lam: float = 10.0, **keywords: Any):
        super().__init__(shape, code, **keywords)
        self.encoder = nn.Sequential(self.encoder, nn.Sigmoid())
        self.p, self.lam = p, lam
        last = [layer for layer in self.encoder.modules() if isinstance(layer, nn.Linear)][-1]
        first = next(layer for layer in self.decoder.modules() if isinstance(layer, nn.Linear))
        with torch.no_grad():
            last.bias.fill_(math.log(p / (1 - p)))
            first.weight /= math.sqrt(p * (1 - p))

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "sparsity": self.lam})}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        a = self.encoder(batch.x)
        p_hat = a.float().mean(0)  # (D,): a term of the whole batch
        return {"recon": self.reconstruction_error(batch.x, a), "sparsity": kl_bernoulli(self.p, p_hat).sum()}


class Denoising(PlainCode):
    """Reconstructs the clean input from a corrupted one: loss = Δ(x, B(A(x̃))), x̃ ~ C(x̃|x).

    noise: "gaussian" with `sigma` (Eq. 4), or "erasures" with `p`, the probability of keeping a value (Eq. 5).
    keywords: those of `PlainCode`.

    Source: Vincent et al. (2008), doi:10.1145/1390156.1390294; Gaussian noise: Vincent et al. (2010), JMLR 11.
    Departures: each value is erased independently, whereas the paper erases a fixed number of values; Adam and, by
    default, the squared error, whereas the paper has plain gradient descent and cross-entropy.
    """

    abilities = Autoencoder.abilities | {"corrupt"}

    def __init__(
        self,
        shape: Shape,
        code: int = 32,
        noise: str = "gaussian",
        sigma: float = 0.5,
        p: float = 0.5,
        **keywords: Any,
    ):
        super().__init__(shape, code, **keywords)
        self.noise, self.sigma, self.p = noise, sigma, p

    def corrupt(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
        """x̃ ~ C(x̃|x), shape of x; Gaussian noise may leave [0, 1]."""
        return gaussian_noise(x, self.sigma) if self.noise == "gaussian" else erasures(x, self.p)

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        return {"recon": self.reconstruction_error(batch.x, self.encoder(self.corrupt(batch.x)))}


class Seen(nn.Module):
    """An encoder of images that are partly ERASED: x (B, C, H, W) → net(x ⊙ m, m) (B, D), where m is 1 for seen pixels.

    Both inputs are divided by the share of seen pixels, so that a layer that sums over pixels receives as large a
    signal from a part as from the whole image.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        m = (x != ERASED).any(1, keepdim=True).to(x.dtype)
        share = m.mean((2, 3), keepdim=True).clamp_min(1 / m[0].numel())
        return self.net(torch.cat([x * m, m], 1) / share)


class MAE(Autoencoder):
    """Masked autoencoder: most patches of an image are erased, and are predicted from those that are left.

    loss = Σ_{i ∈ M} ‖x_i − x̂_i‖²,  x̂ = B(A(x̃)),  x̃_i = ERASED for patches i ∈ M and x_i for all others.

    M: a share of the patches, drawn anew for every image; at least one patch is in it, and at least one is not.
    share: how large a share of the patches M is.  patch: their side in pixels, at most half of the image's shorter
    side; where it does not divide a side, the last patches are cut off.

    Source: He et al. (2021), arXiv:2111.06377.
    Departures: the code is one vector, from which the decoder paints all patches. In the paper the code is a
    transformer's token for every visible patch, and the decoder receives all of them. Convolutions or fully connected
    layers replace the transformers, which took about twice as long to reach the same error on erased patches (4,000
    digits of 16 × 16 pixels, 15 epochs: 6.1 with convolutions, 6.0 with three layers of a transformer).
    """

    abilities = Autoencoder.abilities | {"corrupt"}

    def __init__(
        self,
        shape: Shape,
        code: int = 32,
        share: float = 0.75,
        patch: int = 4,
        net: str = "conv",
        width: int = 512,
    ):
        super().__init__(shape, code)
        colours, height, breadth = self.shape
        self.encoder = Seen(networks.encoder(net, (colours + 1, height, breadth), code, width))
        self.decoder = networks.decoder(net, code, self.shape, width)
        self.share, self.patch = share, min(patch, min(height, breadth) // 2)

    def corrupt(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """x̃ for a newly sampled M."""
        size = x.shape[2:]
        rows, columns = (math.ceil(side / self.patch) for side in size)
        erased = min(max(round(self.share * rows * columns), 1), rows * columns - 1)
        rank = torch.rand(len(x), rows * columns, device=x.device).argsort(1).argsort(1)
        mask = (rank < erased).view(-1, 1, rows, columns)
        mask = mask.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)
        return x.masked_fill(mask[..., : size[0], : size[1]], ERASED)

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x, x_tilde = batch.x, self.corrupt(batch.x)
        x_hat = self.decode(self.encoder(x_tilde))
        return {"recon": sum_dims((x_tilde == ERASED) * (x - x_hat) ** 2)}


class Transposed(nn.Module):
    """Decodes with an encoder's own weights: h (B, D) → Wᵀ h + c as (B, *shape) logits.

    layer: the encoder's linear layer, which owns W; the parameter of this one is c.
    """

    def __init__(self, layer: nn.Linear, shape: Shape):
        super().__init__()
        self.layer = (layer,)  # in a tuple, so that W is registered once, in the encoder
        self.bias = nn.Parameter(torch.zeros(layer.in_features))
        self.shape = shape

    def forward(self, h: Float[Tensor, "B D"]) -> Float[Tensor, "B *shape"]:
        return nn.functional.linear(h, self.layer[0].weight.T, self.bias).view(-1, *self.shape)


def sigmoid_jacobian(W: Float[Tensor, "D V"], h: Float[Tensor, "B D"]) -> Float[Tensor, "B"]:
    """‖∂h/∂x‖²_F = Σ_j (h_j (1 − h_j))² ‖W_j‖² of h = sigmoid(W x + b): (B,), exact.

    W: (D, V), one row for each latent dimension.  h: (B, D).

    Source: Rifai et al. (2011), §3 of "Contractive auto-encoders", ICML. Departures: none.
    """
    h = h.float()
    return (h * (1 - h)).square() @ W.float().square().sum(1)


def estimated_jacobian(x: Float[Tensor, "B *shape"], h: Float[Tensor, "B D"], create_graph: bool) -> Float[Tensor, "B"]:
    """‖vᵀ ∂h/∂x‖² with random signs v for each example, an unbiased estimate of ‖∂h/∂x‖²_F: (B,).

    E vvᵀ = I, hence E ‖vᵀJ‖² = tr JᵀJ; for a code of one number it is exact.

    x: (B, *shape), which requires gradients.  h: (B, D), in which each row depends on the same row of x alone.
    create_graph: whether the estimate is differentiable.

    Source: Hutchinson (1990), doi:10.1080/03610919008812866, for the estimator of a trace. Departures: none.
    """
    signs = torch.empty_like(h).bernoulli_(0.5).mul_(2).sub_(1)
    (slope,) = torch.autograd.grad(h, x, signs, create_graph=create_graph, retain_graph=True)
    return sum_dims(slope.float() ** 2)


class Contractive(Autoencoder):
    """Contractive autoencoder: a small step of the input should hardly change the code.

    loss = Δ(x, B(A(x))) + λ ‖J_A(x)‖²_F,  J_ji = ∂h_j/∂x_i,  h = A(x) (Eq. 6).

    lam: λ.  net: "sigmoid" is one layer h = sigmoid(W x + b) decoded by Wᵀ, whose norm has a closed form; "dense" and
    "conv" are deep, and their norm is estimated by one random projection, without bias.

    Source: Rifai et al. (2011), "Contractive auto-encoders: explicit invariance during feature extraction", ICML.
    Departures: none for "sigmoid", whose tied weights fix the scale of the code. Deep encoders are not in the paper.
    Their weights are not tied, so that a decoder can evade a part of the penalty: it scales up what the encoder scaled
    down.
    """

    def __init__(
        self,
        shape: Shape,
        code: int = 128,
        lam: float = 0.1,
        net: str = "sigmoid",
        width: int = 512,
        distance: str = "squared",
    ):
        super().__init__(shape, code)
        if net == "sigmoid":
            layer = nn.Linear(math.prod(self.shape), code)
            self.encoder = nn.Sequential(nn.Flatten(), layer, nn.Sigmoid())
            self.decoder = Transposed(layer, self.shape)
        else:
            self.encoder = networks.encoder(net, self.shape, code, width)
            self.decoder = networks.decoder(net, code, self.shape, width)
        self.net, self.lam, self.distance = net, lam, distance

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        lr = 10.0 if self.net == "sigmoid" else 1.0  # after 10 epochs on 4,000 digits the error is 3.1 in place of 12
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "jacobian": self.lam}, lr)}

    def encode_with_jacobian(self, x: Float[Tensor, "B *shape"]) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B"]]:
        """h (B, D) and ‖J_A(x)‖²_F (B,), exact or estimated, from one forward pass."""
        if self.net == "sigmoid":
            h = self.encoder(x)
            return h, sigmoid_jacobian(self.encoder.get_parameter("1.weight"), h)
        learning = torch.is_grad_enabled()
        with torch.enable_grad():  # also for held-out terms, which are computed without gradients
            x = x.detach().requires_grad_()
            h = self.encoder(x)
            return h, estimated_jacobian(x, h, create_graph=learning)

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x = batch.x
        h, jacobian = self.encode_with_jacobian(x)
        return {"recon": distance(self.distance, x, self.decoder(h)), "jacobian": jacobian}


class RAE(PlainCode):
    """Regularised autoencoder: a VAE without noise, whose codes are kept small and whose decoder is kept smooth.

    loss = Δ(x, x̂) + β ½‖z‖² + λ R,  z = A(x), x̂ = B(z);  R = ‖∂x̂/∂z‖²_F, or R = ‖θ‖² of all weights θ of B.

    There is no prior: to draw images, fit a density to the codes after the training, for example a Gaussian mixture.

    beta: β.  lam: λ.  smooth: R is taken of the decoder's "gradient" or of its "weights".
    keywords: those of `PlainCode`.

    Source: Ghosh et al. (2020), "From variational to deterministic autoencoders", Eq. 4–8, arXiv:1903.12436.
    Departures: the norm of the gradient is estimated by one random projection, without bias. Spectral normalisation,
    the paper's third way to keep a decoder smooth, is left out. Convolutions are normalised, so that most of their
    weights may shrink without making the decoder smoother: for them the penalty on the gradient is the better choice.
    """

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        beta: float = 0.01,
        lam: float = 0.01,
        smooth: str = "gradient",
        **keywords: Any,
    ):
        super().__init__(shape, code, **keywords)
        self.beta, self.lam, self.smooth = beta, lam, smooth

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        weights = {"recon": 1.0, "size": self.beta, "slope": self.lam}
        return {"autoencoder": Player((self.encoder, self.decoder), weights)}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x, learning = batch.x, torch.is_grad_enabled()
        z = self.encoder(x)
        z = z if z.requires_grad else z.requires_grad_()  # held-out terms are taken without gradients
        with torch.enable_grad():
            logits = self.decoder(z)
            if self.smooth == "gradient":
                slope = estimated_jacobian(z, logits.sigmoid().flatten(1), create_graph=learning)
            else:
                slope = torch.stack([theta.float().square().sum() for theta in self.decoder.parameters()]).sum()
        return {"recon": distance(self.distance, x, logits), "size": 0.5 * sum_dims(z**2), "slope": slope}


RECON = Term("squared error, or nats", "how far the reconstruction is from the input")

ENTRIES = (
    Entry(
        key="sparse_l1",
        name="Sparse autoencoder (L1)",
        year=1996,
        section="§2.1",
        idea="Each image is a sum of a few shapes out of many, because every active unit adds its activation to the "
        "loss.",
        equation=r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta\!\left(x,\, B(A(x))\right)}"
        r" + \lambda\, \term{sparsity}{\sum_j \lvert a_j \rvert},\quad a = A(x) \ge 0",
        terms={"recon": RECON, "sparsity": Term("activation", "the sum of all activations of the code")},
        source="Olshausen & Field (1996), doi:10.1038/381607a0; chapter Eq. 2",
        build=SparseL1,
        params={
            "code": Param(128, 1, 256, 1, "log", "d", CODE.help),
            "lam": Param(0.05, 0.0, 10.0, 0.001, "log", r"\lambda", "weight of the sparsity"),
            "net": Param("dense", choices=NET.choices, help="the encoder: fully connected, or convolutions (images)"),
            "width": WIDTH,
            "distance": DISTANCE,
        },
        departures="a linear decoder whose columns have length 1, since otherwise activations could shrink while "
        "weights grow, and the penalty would have no effect; only the code's activations are summed",
        plan={"lr": 3e-3, "epochs": 20},
    ),
    Entry(
        key="sparse_kl",
        name="Sparse autoencoder (KL)",
        year=2011,
        section="§2.1",
        idea="Every unit may be active for few images only: its mean activation is kept close to p.",
        equation=r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta\!\left(x,\, B(A(x))\right)}"
        r" + \lambda\, \term{sparsity}{\sum_j D_{KL}\!\left(p\,\Vert\,\hat{p}_j\right)},"
        r"\quad \hat{p}_j = \tfrac{1}{m} \textstyle\sum_i a_j(x_i)",
        terms={
            "recon": RECON,
            "sparsity": Term("nats", "how far the units' mean activations over the batch are from p, summed"),
        },
        source="Ng (2011), CS294A lecture notes; chapter Eq. 3",
        build=SparseKL,
        params={
            "code": Param(64, 1, 256, 1, "log", "d", CODE.help),
            "p": Param(0.05, 0.01, 0.5, 0.01, symbol="p", help="the mean activation that every unit should have"),
            "lam": Param(10.0, 0.0, 1000.0, 0.1, "log", r"\lambda", "weight of the sparsity"),
            "net": NET,
            "width": WIDTH,
            "distance": DISTANCE,
        },
        departures="a weight λ, which Eq. 3 does not have, since the reconstruction error is a sum over pixels; no "
        "weight decay, so that only a unit's mean activation is controlled; activations start at p, since from ½ the "
        "error stays twice as large",
    ),
    Entry(
        key="denoising",
        name="Denoising autoencoder",
        year=2008,
        section="§2.2",
        idea="The network sees a damaged input and must reconstruct the clean one.",
        equation=r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta\!\left(x,\, B(A(\tilde{x}))\right)},"
        r"\quad \tilde{x} \sim \mathcal{N}(x, \sigma^2 I)\ \text{or}\ \tilde{x} = \beta \odot x,"
        r"\ \beta \sim \mathrm{Ber}(p)",
        terms={"recon": Term("squared error, or nats", "how far the reconstruction is from the clean input")},
        source="Vincent et al. (2008), doi:10.1145/1390156.1390294; chapter Eq. 4, 5",
        build=Denoising,
        params={
            "code": Param(32, 1, 256, 1, "log", "d", CODE.help),
            "noise": Param("gaussian", choices=("gaussian", "erasures"), symbol="C", help="how the input is damaged"),
            "sigma": Param(0.5, 0.0, 2.0, 0.05, symbol=r"\sigma", help="standard deviation of the Gaussian noise"),
            "p": Param(0.5, 0.05, 1.0, 0.05, symbol="p", help="probability that a value is kept (erasures)"),
            "net": NET,
            "width": WIDTH,
            "distance": DISTANCE,
        },
        departures="each value is erased independently, whereas the paper erases a fixed number of them; Gaussian "
        "noise is from the later paper, Vincent et al. (2010), JMLR 11; Adam and, by default, the squared error "
        "instead of gradient descent on the cross-entropy",
    ),
    Entry(
        key="mae",
        name="Masked autoencoder",
        year=2021,
        section="§2.2",
        idea="Most of the image is erased, patch by patch, and must be predicted from the rest.",
        equation=r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\sum_{i \in M} \lVert x_i - \hat{x}_i \rVert^2},"
        r"\quad \hat{x} = B\left(A(\{x_i : i \notin M\})\right)",
        terms={"recon": Term("squared error", "how far the predicted patches are from the erased ones")},
        source="He et al. (2021), arXiv:2111.06377",
        build=MAE,
        params={
            "code": Param(32, 1, 256, 1, "log", "d", CODE.help),
            "share": Param(0.75, 0.05, 0.95, 0.05, help="share of the patches that are erased"),
            "patch": Param(4, 1, 16, 1, "log", help="side of a patch in pixels"),
            "net": Param("conv", choices=NET.choices, help="convolutions, or fully connected layers"),
            "width": WIDTH,
        },
        kinds=("image",),
        departures="one code, from which all patches are decoded, whereas the paper keeps a token for every visible "
        "patch; convolutions instead of transformers, which take longer to reach the same error",
    ),
    Entry(
        key="contractive",
        name="Contractive autoencoder",
        year=2011,
        section="§2.3",
        idea="The code may change only where the reconstruction needs it: small changes of the input hardly move it.",
        equation=r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta\!\left(x,\, B(A(x))\right)}"
        r" + \lambda\, \term{jacobian}{\lVert J_A(x) \rVert_F^2},"
        r"\quad J_{ji} = \frac{\partial h_j}{\partial x_i},\ h = A(x)",
        terms={
            "recon": RECON,
            "jacobian": Term("squared change of the code", "how far a small step of the input moves the code"),
        },
        source="Rifai et al. (2011), Contractive auto-encoders, ICML; chapter Eq. 6",
        build=Contractive,
        params={
            "code": Param(128, 1, 256, 1, "log", "d", CODE.help),
            "lam": Param(0.1, 0.0, 100.0, 0.01, "log", r"\lambda", "weight of the Jacobian's norm"),
            "net": Param(
                "sigmoid",
                choices=("sigmoid", *NET.choices),
                help="one sigmoid layer with tied weights (exact norm), or deep encoders (estimated norm)",
            ),
            "width": WIDTH,
            "distance": DISTANCE,
        },
        departures="none for the sigmoid layer; deep encoders are not in the paper: their norm is estimated without "
        "bias, and their weights are not tied, so that a decoder that scales the code up evades a part of the penalty",
    ),
    Entry(
        key="rae",
        name="Regularised autoencoder",
        year=2020,
        section="§3",
        idea="A VAE without noise: codes stay small and the decoder smooth; for sampling, a mixture is fitted to the "
        "codes.",
        equation=r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta\!\left(x,\, \hat{x}\right)}"
        r" + \beta\, \term{size}{\tfrac{1}{2} \lVert z \rVert^2} + \lambda\, \term{slope}{R},"
        r"\quad R = \lVert \partial \hat{x} / \partial z \rVert_F^2\ \text{or}\ \lVert \theta_B \rVert^2,"
        r"\ z = A(x),\ \hat{x} = B(z)",
        terms={
            "recon": RECON,
            "size": Term("squared code", "half the squared length of the code"),
            "slope": Term("squared slope, or squared weights", "how far a small step of the code moves the image"),
        },
        source="Ghosh et al. (2020), arXiv:1903.12436",
        build=RAE,
        params={
            "code": CODE,
            "beta": Param(0.01, 0.0, 10.0, 0.001, "log", r"\beta", "weight of the code's length"),
            "lam": Param(0.01, 0.0, 10.0, 1e-5, "log", r"\lambda", "weight of the decoder's slope, or of its weights"),
            "smooth": Param(
                "gradient",
                choices=("gradient", "weights"),
                symbol="R",
                help="what keeps the decoder smooth: a penalty on its gradient, or on its squared weights",
            ),
            "net": NET,
            "width": WIDTH,
            "distance": DISTANCE,
        },
        departures="the gradient's norm is estimated by a random projection, without bias; no spectral normalisation",
    ),
)
