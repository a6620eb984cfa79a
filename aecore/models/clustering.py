"""Chapter §4.3: autoencoders whose codes form clusters."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..data.base import Batch, Split
from ..nn.distributions import Likelihood, Normal, likelihood, noise
from ..nn.divergences import kl_standard, squared_distances
from ..nn.networks import Shape, linear
from .base import Autoencoder, Clustering, Mirrored, PlainCode, Player, Terms
from .entry import DISTANCE, NET, WIDTH, Entry, Param, Term
from .variational import PARAMS, RECON

VALUES = 4_000_000  # numbers that are encoded at once when all examples are encoded
SPREAD = 0.5  # initial standard deviation of the means of a mixture's components
RESTARTS = 10  # of k-means; the best result is kept


def codes(model: Autoencoder, split: Split) -> Float[Tensor, "N D"]:
    """The codes of all examples, (N, D) float32."""
    device, size = next(model.parameters()).device, max(1, VALUES // math.prod(model.shape))
    parts = torch.arange(len(split)).split(size)
    return torch.cat([model.encode(split.batch(index).x.to(device)).float() for index in parts])


def k_means(h: Float[Tensor, "N D"], clusters: int) -> Float[Tensor, "K D"]:
    """Centres (K, D) of k-means on codes h (N, D), the best of RESTARTS; deterministic.

    If there are fewer codes than clusters, some codes are centres twice.
    """
    from sklearn.cluster import KMeans  # takes a second to load, and only a training needs it

    if len(h) < clusters:
        return h[torch.arange(clusters, device=h.device) % len(h)]
    clustering: Any = KMeans(clusters, n_init=RESTARTS, random_state=0)  # pyright: ignore[reportArgumentType]  # its default misleads
    centres = clustering.fit(h.cpu().double().numpy()).cluster_centers_
    return torch.as_tensor(centres, dtype=h.dtype, device=h.device)


def means_of(
    h: Float[Tensor, "N D"], assigned: Int[Tensor, "N"], centres: Float[Tensor, "K D"]
) -> Float[Tensor, "K D"]:
    """The mean code of each cluster, (K, D); a cluster without members keeps its centre.

    h: (N, D).  assigned: (N,) the cluster of each code.  centres: (K, D), the present ones.
    """
    member = F.one_hot(assigned, len(centres)).to(h.dtype)  # (N, K)
    counts = member.sum(0)[:, None]
    return torch.where(counts > 0, member.T @ h / counts.clamp_min(1), centres)


class Centroid(Clustering, PlainCode):
    """Autoencoder-based clustering: codes are pulled towards the centre of their cluster, and centres follow the codes.

    loss = Δ(x, B(h)) + λ ‖h − c*‖²,  h = A(x), where c* is the centre nearest to h (Eq. 2).

    After a pretraining without the second term, k-means gives the first centres. From then on each epoch lowers the
    loss with fixed centres, and then makes each centre the mean of the codes nearest to it (Algorithm 1).

    clusters: K.  lam: λ.  pretraining: share of the training before clustering.  keywords: those of `PlainCode`.

    Source: Song et al. (2013), doi:10.1007/978-3-642-41822-8_15.
    Departures: the autoencoder is pretrained as a whole by gradients, not layer by layer as restricted Boltzmann
    machines; the first centres come from k-means and are not random examples.
    """

    abilities = Autoencoder.abilities | {"assign"}

    begun: Tensor

    def __init__(
        self,
        shape: Shape,
        code: int = 10,
        clusters: int = 10,
        lam: float = 0.3,
        pretraining: float = 0.5,
        **keywords: Any,
    ):
        super().__init__(shape, code, **keywords)
        self.lam, self.pretraining = lam, pretraining
        self.register_buffer("centres", torch.zeros(clusters, code))
        self.register_buffer("begun", torch.tensor(False))

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        networks = (self.encoder, self.decoder)
        if progress < self.pretraining:
            return {"autoencoder": Player(networks, {"recon": 1.0})}
        return {"clustering": Player(networks, {"recon": 1.0, "centre": self.lam})}

    def on_epoch_start(self, split: Split, progress: float) -> None:
        if progress < self.pretraining:
            return
        h = codes(self, split)
        first = not self.begun
        self.centres.copy_(k_means(h, len(self.centres)) if first else means_of(h, self.nearest(h), self.centres))
        self.begun.fill_(True)

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        h = self.encoder(batch.x)
        terms = {"recon": self.reconstruction_error(batch.x, h)}
        if "clustering" in players:
            terms["centre"] = squared_distances(h.float(), self.centres).min(1).values
        return terms

    def nearest(self, h: Float[Tensor, "B D"]) -> Int[Tensor, "B"]:
        """The number of the centre nearest to each code h (B, D): (B,)."""
        return squared_distances(h.float(), self.centres).argmin(1)

    def assign(self, x: Float[Tensor, "B *shape"]) -> Int[Tensor, "B"]:
        """The number of the cluster of each x (B, *shape): (B,)."""
        return self.nearest(self.encode(x))

    def responsibilities(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B K"]:
        """1 for the cluster of each x (B, *shape) and 0 for the others: (B, K)."""
        return F.one_hot(self.assign(x), len(self.centres)).float()


def student_t(h: Float[Tensor, "B D"], centres: Float[Tensor, "K D"]) -> Float[Tensor, "B K"]:
    """Soft assignments q_ij = (1 + ‖h_i − μ_j‖²)⁻¹ / Σ_j' (1 + ‖h_i − μ_j'‖²)⁻¹: (B, K), rows sum to 1.

    h: (B, D).  centres: μ, (K, D).  Source: Xie et al. (2016), Eq. 1 with α = 1, arXiv:1511.06335.
    """
    closeness = 1 / (1 + squared_distances(h.float(), centres.float()))
    return closeness / closeness.sum(1, keepdim=True)


def sharpened(q: Float[Tensor, "B K"], frequencies: Float[Tensor, "K"]) -> Float[Tensor, "B K"]:
    """The target p_ij = (q_ij² / f_j) / Σ_j' (q_ij'² / f_j'): (B, K), sharper than q, and lower for large clusters.

    frequencies: f_j = Σ_i q_ij over all examples, (K,); only their ratios matter.  Source: Xie et al. (2016), Eq. 3.
    """
    weight = q.square() / frequencies
    return weight / weight.sum(1, keepdim=True)


class SoftClusters(nn.Module):
    """K trainable centres: codes h (B, D) → soft assignments q (B, K)."""

    def __init__(self, clusters: int, code: int):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(clusters, code))

    def forward(self, h: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        return student_t(h, self.centres)


class DCEC(Clustering, PlainCode):
    """Deep convolutional embedded clustering: soft assignments are pulled towards a sharper version of themselves.

    loss = Δ(x, B(h)) + γ KL(P ‖ Q),  KL(P ‖ Q) = Σ_j p_j log(p_j / q_j) of each example,
    q_j ∝ (1 + ‖h − μ_j‖²)⁻¹,  p_j ∝ q_j² / f_j,  f_j = Σ_i q_ij over all examples (Eq. 1–3).

    After a pretraining without the second term, k-means gives the centres μ, which are then trained by gradients, too.

    clusters: K.  gamma: γ.  pretraining: share of the training before clustering.  keywords: those of `PlainCode`.

    Source: Guo et al. (2017), doi:10.1007/978-3-319-70096-0_39; Q and P are those of Xie et al. (2016),
    arXiv:1511.06335.
    Departures: Δ is a sum over pixels, whereas the authors' loss has a mean, so that their γ = 0.1 is 0.1 · 784 ≈ 80
    here. They keep P for 140 steps; here f is computed anew at every epoch and p follows the current q, without a
    gradient.
    """

    abilities = Autoencoder.abilities | {"assign"}

    frequencies: Tensor
    begun: Tensor

    def __init__(
        self,
        shape: Shape,
        code: int = 10,
        clusters: int = 10,
        gamma: float = 80.0,
        pretraining: float = 0.5,
        net: str = "conv",
        **keywords: Any,
    ):
        super().__init__(shape, code, net=net, **keywords)
        self.clusters = SoftClusters(clusters, code)
        self.gamma, self.pretraining = gamma, pretraining
        self.register_buffer("frequencies", torch.full((clusters,), 1 / clusters))
        self.register_buffer("begun", torch.tensor(False))

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        if progress < self.pretraining:
            return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0})}
        networks = (self.encoder, self.decoder, self.clusters)
        return {"clustering": Player(networks, {"recon": 1.0, "cluster": self.gamma})}

    def on_epoch_start(self, split: Split, progress: float) -> None:
        if progress < self.pretraining:
            return
        h = codes(self, split)
        if not self.begun:
            self.clusters.centres.copy_(k_means(h, len(self.frequencies)))
            self.begun.fill_(True)
        self.frequencies.copy_(self.clusters(h).mean(0))

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        h = self.encoder(batch.x)
        terms = {"recon": self.reconstruction_error(batch.x, h)}
        if "clustering" in players:
            q = self.clusters(h)
            p = sharpened(q, self.frequencies).detach()
            terms["cluster"] = (p * (p.log() - q.log())).sum(1)
        return terms

    def responsibilities(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B K"]:
        """Soft assignments q of x (B, *shape): (B, K)."""
        return self.clusters(self.encode(x))

    @property
    def centres(self) -> Float[Tensor, "K D"]:
        """μ, (K, D)."""
        return self.clusters.centres


def kl_normals(q: Normal, p: Normal) -> Float[Tensor, "..."]:
    """KL(q ‖ p) of two diagonal Gaussians, summed over the last dimension: nats, in the shape of the leading ones."""
    ratio = (q.logvar - p.logvar).exp()
    return 0.5 * (ratio + (q.mu - p.mu) ** 2 / p.logvar.exp() - 1 + p.logvar - q.logvar).sum(-1)


class MixturePrior(nn.Module):
    """The prior on codes: w ~ N(0, I), c uniform over K components, z ~ N(μ_c(w), diag σ_c²(w)).

    size: D, of z.  style: of w.

    Initial biases N(0, SPREAD²) separate the means of the components. Components that start with a common mean separate
    late and by chance (accuracy 0.50 and 0.46 instead of 0.56 and 0.64 on digits, 40 epochs, two seeds).
    """

    def __init__(self, size: int, components: int, style: int, width: int):
        super().__init__()
        self.size, self.components, self.style = size, components, style
        first, last = linear(style, width), nn.Linear(width, 2 * components * size)
        self.net = nn.Sequential(first, nn.Tanh(), last)
        with torch.no_grad():
            last.bias.view(components, 2, size)[:, 0].normal_(0, SPREAD)

    def forward(self, w: Float[Tensor, "B W"]) -> Normal:
        """p(z|w, c) for every c, from w (B, W): μ and log σ², (B, K, D)."""
        mu, logvar = self.net(w).float().unflatten(-1, (self.components, 2 * self.size)).chunk(2, -1)
        return Normal(mu, logvar)

    def sample(
        self,
        n: int,
        like: Float[Tensor, "..."],
        temperature: float = 1.0,
        generator: Generator | None = None,
        component: int | None = None,
    ) -> Float[Tensor, "n D"]:
        """n samples (n, D), all from one component if it is given.  temperature: scales the noise in w and z."""
        which = torch.randint(self.components, (n,), device=like.device, generator=generator)
        which = which if component is None else torch.full_like(which, component)
        pz = self(temperature * noise(like.new_empty(n, self.style), generator))
        each = torch.arange(n, device=like.device)
        mu, logvar = pz.mu[each, which], pz.logvar[each, which]
        return mu + temperature * (0.5 * logvar).exp() * noise(mu, generator)


class GMVAE(Clustering, Mirrored):
    """Gaussian-mixture VAE: the prior has clusters, Gaussians whose mean and variance depend on a second code w.

    p(w) = N(0, I), p(c) = 1/K, p(z|w, c) = N(μ_c(w), diag σ_c²(w)), p(x|z);  q(z|x), q(w|x) Gaussian, and the exact
    p(c|z, w) = N(z; μ_c(w), σ_c²(w)) / Σ_c' N(z; μ_c'(w), σ_c'²(w)) = r_c.

    −L = E[−log p(x|z)] + E[Σ_c r_c KL(q(z|x) ‖ p(z|w, c))] + KL(q(w|x) ‖ p(w)) + max(λ, E[KL(r ‖ p(c))])  (Eq. 3–7).

    r is computed from one sample of z, but the KL that it multiplies from the whole q(z|x), so that L lies below the
    evidence lower bound even with λ = 0. The last term pulls every example equally into all clusters and dominates
    early in training; therefore it is only minimised down to λ nats.

    clusters: K.  style: size of w.  lam: λ, nats.  likelihood, c: as in the VAE.

    Source: Dilokthanakul et al. (2016), arXiv:1611.02648, where z is called x, c is called z, and x is called y.
    Departures: no batch normalisation in the encoder; the means of the components start at different places
    (`MixturePrior`).
    """

    abilities = Autoencoder.abilities | {"sample", "assign"}

    prior: MixturePrior

    def __init__(
        self,
        shape: Shape,
        code: int = 10,
        clusters: int = 10,
        style: int = 10,
        lam: float = 0.5,
        likelihood: str = "bernoulli",
        c: float = 10.0,
        net: str = "dense",
        width: int = 512,
    ):
        prior = MixturePrior(code, clusters, style, width)
        super().__init__(shape, code, net, width, outputs=2 * (code + style), prior=prior)
        self.style, self.lam, self.likelihood, self.c = style, lam, likelihood, c

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        networks = (self.encoder, self.decoder, self.prior)
        return {"autoencoder": Player(networks, {"recon": 1.0, "kl_z": 1.0, "kl_w": 1.0, "kl_c": 1.0})}

    def posteriors(self, x: Float[Tensor, "B *shape"]) -> tuple[Normal, Normal]:
        """q(z|x), (B, D), and q(w|x), (B, W)."""
        of_z, of_w = self.encoder(x).float().split([2 * self.code, 2 * self.style], -1)
        return Normal(*of_z.chunk(2, -1)), Normal(*of_w.chunk(2, -1))

    def p_x(self, z: Float[Tensor, "B D"]) -> Likelihood:
        """p(x|z) for z (B, D): logits (B, *shape)."""
        return likelihood(self.likelihood, self.decoder(z), self.c)

    def decode(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B *shape"]:
        return self.p_x(z).mean

    def log_responsibilities(self, z: Float[Tensor, "B D"], pz_wc: Normal) -> Float[Tensor, "B K"]:
        """log p(c|z, w): (B, K) nats, for z (B, D) and p(z|w, c) (B, K, D)."""
        return pz_wc.log_prob(z[:, None]).log_softmax(-1)

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        qz_x, qw_x = self.posteriors(batch.x)
        z, w = qz_x.rsample(), qw_x.rsample()
        pz_wc = self.prior(w)
        log_r = self.log_responsibilities(z, pz_wc)
        r = log_r.exp()
        kl_each = kl_normals(Normal(qz_x.mu[:, None], qz_x.logvar[:, None]), pz_wc)  # (B, K)
        kl_c = (r * log_r).sum(-1) + math.log(self.prior.components)
        return {
            "recon": -self.p_x(z).log_prob(batch.x),
            "kl_z": (r * kl_each).sum(-1),
            "kl_w": kl_standard(qw_x),
            "kl_c": kl_c.mean().clamp_min(self.lam),
        }

    def encode(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B D"]:
        """The mean of q(z|x), (B, D)."""
        return self.posteriors(x)[0].mu

    def responsibilities(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B K"]:
        """p(c|z, w) at the means of q(z|x) and q(w|x): (B, K)."""
        qz_x, qw_x = self.posteriors(x)
        return self.log_responsibilities(qz_x.mu, self.prior(qw_x.mu)).exp()

    @property
    def centres(self) -> Float[Tensor, "K D"]:
        """The components' means at w = 0, the likeliest w: (K, D)."""
        return self.prior(next(self.parameters()).new_zeros(1, self.style)).mu[0]

    def sample_component(
        self, component: int, n: int, temperature: float = 1.0, generator: Generator | None = None
    ) -> Float[Tensor, "n *shape"]:
        """n decoded samples of one component, (n, *shape) in [0, 1]."""
        like = next(self.parameters())
        return self.decode(self.prior.sample(n, like, temperature, generator, component))


SMALL_CODE = Param(10, 1, 256, 1, "log", "d", "number of latent dimensions")
CLUSTERS = Param(10, 2, 100, 1, "log", "K", "number of clusters")
PRETRAINING = Param(0.5, 0.0, 0.9, 0.05, help="share of the training before clustering, with the reconstruction alone")
OFF = Term("squared error, or nats", "how far the reconstruction is from the input")

ENTRIES = (
    Entry(
        key="centroid",
        name="Autoencoder-based clustering",
        year=2013,
        section="§4.3",
        idea="Each code is pulled towards the centre of its cluster, and each centre moves to the mean of its codes.",
        equation=r"\term{recon}{\Delta\!\left(x, B(h)\right)} + \lambda\, \term{centre}{\lVert h - c^* \rVert^2},"
        r"\quad h = A(x)",
        terms={
            "recon": OFF,
            "centre": Term("squared code units", "how far a code is from the nearest centre"),
        },
        source="Song et al. (2013), doi:10.1007/978-3-642-41822-8_15; chapter §4.3",
        build=Centroid,
        params={
            "code": SMALL_CODE,
            "clusters": CLUSTERS,
            "lam": Param(0.3, 0.0, 10.0, 0.01, "log", r"\lambda", "weight of the distance to the centre"),
            "pretraining": PRETRAINING,
            "net": NET,
            "width": WIDTH,
            "distance": DISTANCE,
        },
        departures="pretrained as a whole, not layer by layer as in the paper, since Adam makes this possible; the "
        "first centres come from k-means, with which the result is compared",
        plan={"epochs": 30},
        cluster_weight="lam",
    ),
    Entry(
        key="dcec",
        name="Deep convolutional embedded clustering",
        year=2017,
        section="§4.3",
        idea="Soft assignments to clusters are pulled towards more confident ones, while images must still be "
        "reconstructed from their codes.",
        equation=r"\term{recon}{\Delta\!\left(x, B(h)\right)} + \gamma\, \term{cluster}{D_{KL}(P\,\Vert\,Q)},\quad "
        r"q_j \propto \left(1 + \lVert h - \mu_j \rVert^2\right)^{-1},\quad p_j \propto q_j^2 / f_j",
        terms={
            "recon": OFF,
            "cluster": Term("nats", "KL(P ‖ Q): how much more confident the target P is than the soft assignments Q"),
        },
        source="Guo et al. (2017), doi:10.1007/978-3-319-70096-0_39; chapter §4.3",
        build=DCEC,
        params={
            "code": SMALL_CODE,
            "clusters": CLUSTERS,
            "gamma": Param(80.0, 0.0, 1000.0, 0.1, "log", r"\gamma", "weight of KL(P ‖ Q)"),
            "pretraining": PRETRAINING,
            "net": Param("conv", choices=("dense", "conv"), help="fully connected layers, or convolutions"),
            "width": WIDTH,
            "distance": DISTANCE,
        },
        kinds=("image",),
        departures="γ is 80 with a reconstruction error that is a sum over pixels (the paper: 0.1 with a mean); P "
        "follows Q, and f is computed anew every epoch, so that no number of steps has to be chosen for each data set",
        plan={"epochs": 30},
        cluster_weight="gamma",
    ),
    Entry(
        key="gmvae",
        name="Gaussian-mixture VAE",
        year=2016,
        section="§4.3",
        idea="The prior itself is a mixture of clusters, and the posterior over the clusters is computed exactly.",
        equation=r"-\mathcal{L} = \term{recon}{\mathbb{E}\left[-\log p(x|z)\right]}"
        r" + \term{kl_z}{\mathbb{E}\textstyle\sum_c r_c\, D_{KL}\!\left(q(z|x)\,\Vert\,p(z|w, c)\right)}"
        r" + \term{kl_w}{D_{KL}\!\left(q(w|x)\,\Vert\,\mathcal{N}(0, I)\right)}"
        r" + \term{kl_c}{\max\!\left(\lambda, \mathbb{E}\, D_{KL}(r\,\Vert\,p(c))\right)}",
        terms={
            "recon": RECON,
            "kl_z": Term("nats", "how far q(z|x) is from the components it belongs to"),
            "kl_w": Term("nats", "KL(q(w|x) ‖ p(w)): how much the style code says about the input"),
            "kl_c": Term("nats", "how much the cluster says about the input, at least λ; at most log K"),
        },
        source="Dilokthanakul et al. (2016), arXiv:1611.02648; chapter §4.3",
        build=GMVAE,
        params={
            "code": SMALL_CODE,
            "clusters": CLUSTERS,
            "style": Param(10, 1, 256, 1, "log", "w", "number of dimensions of the code w, which shapes the clusters"),
            "lam": Param(
                0.5, 0.0, 5.0, 0.1, symbol=r"\lambda", help="nats down to which the cluster's KL is penalised"
            ),
            "likelihood": PARAMS["likelihood"],
            "c": PARAMS["c"],
            "net": NET,
            "width": WIDTH,
        },
        departures="no batch normalisation, which would make the code of an image depend on the others in its "
        "minibatch; the components' means start at different places, since from a common place they separate late and "
        "by chance",
        plan={"epochs": 40, "batch": 64},
    ),
)
