"""Slow and obvious versions of what the project computes, to compare with."""

from __future__ import annotations

import math
from itertools import permutations, product

import pytest
import torch
from torch import Tensor


def mmd2(a: Tensor, b: Tensor, scales: tuple[float, ...], kernel: str = "inverse multiquadratic") -> float:
    """Unbiased MMD², one pair of points at a time (Tolstikhin et al. 2017, Algorithm 2)."""

    def k(x: Tensor, y: Tensor) -> float:
        constants = [2 * len(x) * scale for scale in scales]
        squared = float(((x - y) ** 2).sum())
        if kernel == "gaussian":
            return sum(math.exp(-squared / c) for c in constants)
        return sum(c / (c + squared) for c in constants)

    n, m = len(a), len(b)
    aa = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    bb = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    ab = sum(k(x, y) for x in a for y in b) / (n * m)
    return aa + bb - 2 * ab


def kl_bernoulli_sum(p: float, activations: Tensor) -> float:
    """Σ_j KL(p ‖ p̂_j), activations (m, D) (chapter Eq. 3)."""
    total = 0.0
    for j in range(activations.shape[1]):
        p_hat = float(sum(activations[:, j])) / len(activations)
        total += p * math.log(p / p_hat) + (1 - p) * math.log((1 - p) / (1 - p_hat))
    return total


def slope(f, x: Tensor, step: float = 1e-4) -> float:
    """‖∇f(x)‖ of a number-valued f at one point, by central differences."""
    flat = x.flatten()
    total = 0.0
    for i in range(len(flat)):
        up, down = flat.clone(), flat.clone()
        up[i] += step
        down[i] -= step
        total += ((float(f(up.view_as(x)).detach()) - float(f(down.view_as(x)).detach())) / (2 * step)) ** 2
    return math.sqrt(total)


def jacobian_norms(f, x: Tensor) -> Tensor:
    """‖∂f/∂x‖²_F for each example of x (B, …), f (B, …) → (B, D), from autograd's full Jacobian: (B,)."""

    def one(point):
        return f(point[None])[0]

    return torch.stack([torch.autograd.functional.jacobian(one, point).square().sum() for point in x])


def importance_bound(log_w: Tensor) -> list[float]:
    """log (1/K) Σ_k w_k of log weights (K, B), one example at a time, without a logarithm's tricks."""
    (K, B), log_w = log_w.shape, log_w.detach()
    return [math.log(sum(math.exp(float(log_w[k, b])) for k in range(K)) / K) for b in range(B)]


def all_binary(shape: tuple[int, ...]) -> Tensor:
    """Every binary image of this shape: (2^V, *shape)."""
    return torch.tensor(list(product((0.0, 1.0), repeat=math.prod(shape)))).view(-1, *shape)


def adam(weight: Tensor, gradients: list[Tensor], rates: list[float], betas=(0.9, 0.999), eps: float = 1e-8) -> Tensor:
    """`weight` after Adam's steps, as in Kingma & Ba (2015), Algorithm 1."""
    m, v = torch.zeros_like(weight), torch.zeros_like(weight)
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        weight = weight - rate * (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + eps)
    return weight


def linear_gaussian_evidence(x: Tensor, W: Tensor, b: Tensor, variance: float) -> Tensor:
    """Exact log p(x) of z ~ N(0, I), x|z ~ N(W z + b, variance I): (B,) nats."""
    covariance = W @ W.T + variance * torch.eye(len(W), dtype=W.dtype)
    return torch.distributions.MultivariateNormal(b, covariance).log_prob(x)


def pca(train: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (V,), the first k principal directions (V, k) and all eigenvalues of examples (N, V)."""
    mean = train.mean(0)
    _, singular, directions = torch.linalg.svd(train - mean, full_matrices=False)
    return mean, directions[:k].T, singular**2 / len(train)


def largest_angle(A: Tensor, B: Tensor) -> float:
    """The largest principal angle between the spans of the columns of A and B, in degrees."""
    cosines = torch.linalg.svdvals(torch.linalg.qr(A)[0].T @ torch.linalg.qr(B)[0])
    return math.degrees(math.acos(min(1.0, float(cosines.min()))))


def overlap(p, q, low: float = -40.0, high: float = 40.0, steps: int = 400_001) -> float:
    """∫ √(p q) of two densities of one number, as a sum over a fine grid."""
    z = torch.linspace(low, high, steps, dtype=torch.float64)[:, None, None]  # (steps, B = 1, D = 1)
    each = (0.5 * (p.log_prob(z) + q.log_prob(z))).exp()
    return float(each.sum()) * (high - low) / (steps - 1)


def log_mixture(mu: Tensor, logvar: Tensor, z: Tensor) -> list[float]:
    """log (1/N) Σ_n N(z; μ_n, σ_n²) for each z (B, D), one density at a time; mu, logvar (N, D)."""
    found = []
    for point in z:
        density = 0.0
        for m, v in zip(mu, logvar.exp(), strict=True):
            parts = [
                math.exp(-0.5 * float((a - b) ** 2 / s)) / math.sqrt(2 * math.pi * float(s))
                for a, b, s in zip(point, m, v, strict=True)
            ]
            density += math.prod(parts) / len(mu)
        found.append(math.log(density))
    return found


def nearest(points: Tensor, centres: Tensor) -> list[int]:
    """Which of the centres (K, D) is nearest to each point (N, D)."""
    points, centres = points.detach(), centres.detach()
    return [min(range(len(centres)), key=lambda k: float(((p - centres[k]) ** 2).sum())) for p in points]


def total_correlation(mu: Tensor, logvar: Tensor, z: Tensor) -> float:
    """KL(q(z) ‖ Π_j q(z_j)) of draws z (N, D), z_i ~ q(z|x_i), q(z) = (1/N) Σ_i q(z|x_i): nats, exact for these N."""
    each = -0.5 * (math.log(2 * math.pi) + logvar + (z[:, None] - mu) ** 2 / logvar.exp())  # (draw, example, unit)
    log_n = math.log(len(mu))
    log_qz = each.sum(-1).logsumexp(1) - log_n
    log_qz_j = (each.logsumexp(1) - log_n).sum(-1)
    return float((log_qz - log_qz_j).mean())


def draw(model, noise: Tensor, given=None, temperature: float = 1.0) -> Tensor:
    """Images (n, C, H, W) of a `PixelByPixel`, value by value in its order, with a whole pass for each value.

    Of each value the chances of all levels are added up until they exceed its noise; the higher levels of a binary one
    come first there, as they do where a logit is compared with a threshold.
    """
    x = torch.zeros_like(noise)
    levels = model.values.levels
    for (i, j), c in product(model.sequence().tolist(), range(noise.shape[1])):
        law = model.laws(x, given)[c][:, :, i, j]
        for k, u in enumerate(noise[:, c, i, j].tolist()):
            if levels == 2:
                x[k, c, i, j] = float(law[k, 0] > temperature * (math.log(max(u, 1e-7)) - math.log1p(-max(u, 1e-7))))
                continue
            p = (chances_of(model.values, law[k]) ** (1 / temperature)).tolist()
            level, total, whole = 0, p[0], sum(p)
            while total < u * whole and level < levels - 1:
                level += 1
                total += p[level]
            x[k, c, i, j] = level / (levels - 1)
    return x


def chances_of(values, law: Tensor) -> Tensor:
    """p of each level of one value, from its law (P,), by the definitions."""
    if values.levels == 2:
        p = torch.sigmoid(law[0])
        return torch.stack([1 - p, p])
    if len(law) == 256:
        return law.exp() / law.exp().sum()
    pi, mu, s = law.view(3, -1)[0].softmax(0), law.view(3, -1)[1], law.view(3, -1)[2].exp()
    edges = torch.cat([torch.tensor([-torch.inf]), 2 * (torch.arange(255) + 0.5) / 255 - 1, torch.tensor([torch.inf])])
    below = torch.sigmoid((edges.to(mu)[:, None] - mu) / s)
    return ((below[1:] - below[:-1]) * pi).sum(-1)


def chain_log_prob(model, x: Tensor, given=None) -> Tensor:
    """Σ_i log p(x_i | x_1 … x_{i−1}) with a pass for each value, in which all later ones are unknown (½): (B,)."""
    known, total = torch.full_like(x, 0.5), torch.zeros(len(x), dtype=x.dtype)
    for (i, j), c in product(model.sequence().tolist(), range(x.shape[1])):
        law = model.laws(known, given)[c][:, :, i, j]
        for k, value in enumerate(x[:, c, i, j].tolist()):
            total[k] += chances_of(model.values, law[k])[round(value * (model.values.levels - 1))].log()
        known[:, c, i, j] = x[:, c, i, j]
    return total


def gated_features(network, x: Tensor, h: Tensor | None) -> dict[tuple[int, int], Tensor]:
    """Gated PixelCNN's features {(i, j): (p,)} of an image x (C, H, W), one by one (Conditional PixelCNN, Fig. 2).

    h: the condition, a map (K, H, W).
    """
    _, height, width = x.shape
    places = list(product(range(height), range(width)))
    v = across = {(i, j): 2 * x[:, i, j] - 1 for i, j in places}

    def told(layer, i: int, j: int) -> tuple[Tensor, Tensor]:
        zero = torch.zeros(4 * len(layer.out.bias)).to(x)
        return (zero if h is None else layer.given.weight[:, :, 0, 0] @ h[:, i, j]).chunk(2)

    def gate(a: Tensor) -> Tensor:
        half = len(a) // 2
        return torch.tanh(a[:half]) * torch.sigmoid(a[half:])

    for depth, layer in enumerate(network.layers):
        r = 3 if depth == 0 else 1  # 7×7 filters, then 3×3
        down, new = {}, {}
        for i, j in places:
            a = layer.vertical.bias + told(layer, i, j)[0]
            for di, dj in product(range(-r, 1), range(-r, r + 1)):
                if (i + di, j + dj) in v:
                    a = a + layer.vertical.weight[:, :, di + r, dj + r] @ v[i + di, j + dj]
            down[i, j] = a
        for i, j in places:
            a = layer.horizontal.bias + layer.link.bias + told(layer, i, j)[1]
            if i > 0:
                a = a + layer.link.weight[:, :, 0, 0] @ down[i - 1, j]
            for dj in range(-r, 0 if depth == 0 else 1):
                if (i, j + dj) in across:
                    a = a + layer.horizontal.weight[:, :, 0, dj + r] @ across[i, j + dj]
            new[i, j] = layer.out.weight[:, :, 0, 0] @ gate(a) + layer.out.bias
            if depth > 0:
                new[i, j] = new[i, j] + across[i, j]
        v, across = {place: gate(a) for place, a in down.items()}, new
    return across


def row_lstm_features(network, x: Tensor, y: Tensor | None) -> dict[tuple[int, int], Tensor]:
    """Row LSTM's features {(i, j): (2p,)} of an image x (C, H, W), one by one (PixelRNN, §3.1, Eq. 3).

    y: the condition, a map (K, H, W).
    """
    _, height, width = x.shape
    places = list(product(range(height), range(width)))
    s = {}
    for i, j in places:
        s[i, j] = network.above.bias
        for di, dj in product(range(-3, 1), range(-3, 4)):
            if (di < 0 or dj < 0) and 0 <= i + di < height and 0 <= j + dj < width:
                taps = network.above.weight[:, :, di + 3, dj + 3] if di < 0 else network.left.weight[:, :, 0, dj + 3]
                s[i, j] = s[i, j] + taps @ (2 * x[:, i + di, j + dj] - 1)
    for layer in network.layers:
        p = layer.up.in_channels
        h: dict[tuple[int, int], Tensor] = {}
        memory: dict[tuple[int, int], Tensor] = {}
        zero, new = torch.zeros(p).to(x), {}
        for i, j in places:
            a = layer.input.bias if y is None else layer.input.bias + layer.given.weight[:, :, 0, 0] @ y[:, i, j]
            for dj in (-1, 0):
                if (i, j + dj) in s:
                    a = a + layer.input.weight[:, :, 0, dj + 1] @ s[i, j + dj]
            for dj in (-1, 0, 1):
                taps = layer.state.weight[:, (dj + 1) * p : (dj + 2) * p]
                a = a + taps @ h.get((i - 1, j + dj), zero)
            o, f, i_gate, g = a.chunk(4)
            memory[i, j] = torch.sigmoid(f) * memory.get((i - 1, j), zero) + torch.sigmoid(i_gate) * torch.tanh(g)
            h[i, j] = torch.sigmoid(o) * torch.tanh(memory[i, j])
            new[i, j] = s[i, j] + layer.up.weight[:, :, 0, 0] @ h[i, j] + layer.up.bias
        s = new
    return s


def clustering_accuracy(assigned, labels, classes: int) -> float:
    """The best share of right labels over every way to name the clusters."""
    ways = permutations(range(classes))
    return max(sum(way[a] == y for a, y in zip(assigned, labels, strict=True)) for way in ways) / len(labels)


def student_t(h: Tensor, centres: Tensor) -> list[list[float]]:
    """DEC's q_ij, one at a time (Xie et al. 2016, Eq. 1)."""
    rows = []
    for point in h:
        row = [1 / (1 + sum((float(a) - float(b)) ** 2 for a, b in zip(point, c, strict=True))) for c in centres]
        rows.append([value / sum(row) for value in row])
    return rows


def sharpened(q: Tensor) -> list[list[float]]:
    """DEC's p_ij, f_j over these rows (Xie et al. 2016, Eq. 3)."""
    f = [sum(float(row[j]) for row in q) for j in range(q.shape[1])]
    rows = [[float(row[j]) ** 2 / f[j] for j in range(len(f))] for row in q]
    return [[value / sum(row) for value in row] for row in rows]


def gmvae_bound(model, x: Tensor, draws: int = 2) -> Tensor:
    """One draw of −L for each x (B, D), everything sampled: z, w, and c from its posterior.

    draws: 2 where the z that is compared with its component is another one than that which chose the component
    (Dilokthanakul et al. 2016, Eq. 5); 1 gives the evidence lower bound.
    """

    def log_normal(value: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return torch.distributions.Normal(mu, (logvar / 2).exp()).log_prob(value).sum(-1)

    qz, qw = model.posteriors(x)
    z = qz.mu + (qz.logvar / 2).exp() * torch.randn_like(qz.mu)
    w = qw.mu + (qw.logvar / 2).exp() * torch.randn_like(qw.mu)
    mu, logvar = model.prior(w).mu, model.prior(w).logvar
    log_z = torch.stack([log_normal(z, mu[:, c], logvar[:, c]) for c in range(mu.shape[1])], 1)
    r = log_z.exp() / log_z.exp().sum(1, keepdim=True)
    c = torch.multinomial(r, 1)
    log_r = r.log().gather(1, c).squeeze(1)
    again = z if draws == 1 else qz.mu + (qz.logvar / 2).exp() * torch.randn_like(qz.mu)
    each = torch.arange(len(x)), c.squeeze(1)
    log_z_wc = log_normal(again, mu[each], logvar[each])
    p = torch.sigmoid(model.decoder(z))
    log_x = (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)
    log_q = log_normal(again, qz.mu, qz.logvar) + log_normal(w, qw.mu, qw.logvar) + log_r
    log_p = log_x + log_z_wc + log_normal(w, torch.zeros(()), torch.zeros(())) - math.log(mu.shape[1])
    return log_q - log_p


# --- plain -------------------------------------------------------------------------------------------------------


def distances(name: str, x: Tensor, x_hat: Tensor) -> list[float]:
    """Δ(x, x̂) of each example, value by value: "squared", or "bernoulli" for the cross-entropy in nats."""
    totals = []
    for image, answer in zip(x.detach().flatten(1).tolist(), x_hat.detach().flatten(1).tolist(), strict=True):
        pairs = list(zip(image, answer, strict=True))
        if name == "squared":
            totals.append(sum((v - p) ** 2 for v, p in pairs))
        else:
            totals.append(-sum(v * math.log(p) + (1 - v) * math.log(1 - p) for v, p in pairs))
    return totals


def strided(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Every second 4 × 4 window of x (B, C, H, W) with a border of one zero, times weight (O, C, 4, 4)."""
    n, _, height, width = x.shape
    padded = torch.zeros(n, x.shape[1], height + 2, width + 2)
    padded[:, :, 1:-1, 1:-1] = x
    rows = []
    for i in range(0, height - 1, 2):
        row = []
        for j in range(0, width - 1, 2):
            window = padded[:, :, i : i + 4, j : j + 4]
            row.append((window[:, None] * weight).sum((2, 3, 4)) + bias)
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


def strided_backwards(h: Tensor, weight: Tensor, bias: Tensor, size: tuple[int, int]) -> Tensor:
    """h (B, C, H, W) painted onto an image of this size: each value paints 4 × 4 pixels of weight (C, O, 4, 4)."""
    n, _, height, width = h.shape
    canvas = torch.zeros(n, weight.shape[1], size[0] + 4, size[1] + 4)
    for i, j in product(range(height), range(width)):
        painted = torch.einsum("nc,coab->noab", h[:, :, i, j], weight)
        canvas[:, :, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += painted
    return canvas[:, :, 1 : 1 + size[0], 1 : 1 + size[1]] + bias[:, None, None]


# --- pages ----------------------------------------------------------------------------------------------------------


def few(values, fast) -> list:
    """Values for `pytest.mark.parametrize`: all in the long lane, those in `fast` in the lane of `make test`, too."""
    unknown = set(fast) - set(values)
    assert not unknown, f"there is no {unknown}"
    return [value if value in fast else pytest.param(value, marks=pytest.mark.slow) for value in values]
