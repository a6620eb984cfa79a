"""Terms of the regularised autoencoders and their helpers against obvious second versions, in milliseconds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import aecore
from aecore import Batch, Model
from aecore.models.regularised import (
    ERASED,
    Seen,
    Transposed,
    erasures,
    estimated_jacobian,
    gaussian_noise,
    kl_bernoulli,
    sigmoid_jacobian,
)
from tests import naive

SHAPE = (1, 4, 6)


def some(n: int = 5, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(5))


class Call(nn.Module):
    """A network that is this function."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def reaches(term: Tensor, weight: Tensor) -> bool:
    """Whether the gradient of a term moves this weight."""
    if not term.requires_grad:
        return False
    (slope,) = torch.autograd.grad(term.sum(), weight, retain_graph=True, allow_unused=True)
    return slope is not None and bool(slope.abs().sum() > 0)


# --- sparse codes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", ["dense", "conv"])
def test_a_sparse_code_is_rectified_and_its_penalty_the_sum_of_its_activations(net):
    model, x = aecore.build("sparse_l1", (1, 8, 8), code=7, net=net, width=64), some(5, (1, 8, 8))
    network = model.encoder[0]
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.bias.data.normal_()
    sums = [sum(max(float(v), 0.0) for v in row) for row in network(x).detach()]
    assert (network(x) < 0).any() and (network(x) > 0).any()
    terms = model.terms(Batch(x), ("autoencoder",))
    assert terms["sparsity"].tolist() == pytest.approx(sums, rel=1e-5)
    W, b = model.decoder[0].weight, model.decoder[0].bias
    answers = [sum(float(a) * W[:, j] for j, a in enumerate(row)) + b for row in model.encode(x).detach()]
    assert torch.allclose(model.decode(model.encode(x)).flatten(1), torch.stack(answers).sigmoid(), atol=1e-5)


def test_the_columns_of_a_dictionary_have_length_one_at_first_and_after_every_step():
    model = aecore.build("sparse_l1", SHAPE, code=7, width=16)
    assert torch.allclose(model.decoder[0].weight.norm(dim=0), torch.ones(7), atol=1e-6)
    W = torch.randn(24, 7) * torch.logspace(-2, 2, 7)
    W[:, 3] = 0
    model.decoder[0].weight.data.copy_(W)
    model.after_step("autoencoder")
    for j in range(7):
        length = math.sqrt(sum(float(v) ** 2 for v in W[:, j]))
        assert torch.allclose(model.decoder[0].weight[:, j], W[:, j] / max(length, 1e-12), atol=1e-5)


def test_the_kl_of_two_coins_is_its_definition_and_bounded():
    p_hat = torch.tensor([0.1, 0.2, 0.55, 0.9]).double()
    found = kl_bernoulli(0.2, p_hat)
    for q, value in zip(p_hat.tolist(), found.tolist(), strict=True):
        assert value == pytest.approx(0.2 * math.log(0.2 / q) + 0.8 * math.log(0.8 / (1 - q)), abs=1e-12)
    ends = kl_bernoulli(0.2, torch.tensor([0.0, 1.0]).double()).tolist()
    assert ends == pytest.approx(
        [0.2 * math.log(0.2e6) + 0.8 * math.log(0.8), 0.2 * math.log(0.2) + 0.8 * math.log(0.8e6)], rel=1e-5
    )


def test_the_kl_penalty_is_of_the_mean_activation_of_each_unit_over_the_batch():
    model, x = aecore.build("sparse_kl", SHAPE, code=7, p=0.2, width=16), some(9)
    model.encoder[0][-1].bias.data.normal_()
    a = model.encode(x)
    assert torch.allclose(a, torch.sigmoid(model.encoder[0](x)))
    term = model.terms(Batch(x), ("autoencoder",))["sparsity"]
    assert term.shape == () and float(term) == pytest.approx(naive.kl_bernoulli_sum(0.2, a.detach()), rel=1e-4)
    one_by_one = [float(model.terms(Batch(x[k : k + 1]), ("autoencoder",))["sparsity"]) for k in range(9)]
    assert float(term) < 0.95 * sum(one_by_one) / 9  # of the mean, not the mean of each


def test_units_of_a_kl_code_start_at_p_and_the_decoder_suits_them():
    for p in (0.05, 0.3):
        model = aecore.build("sparse_kl", SHAPE, code=64, p=p, width=256)
        last, first = model.encoder[0][-1], next(m for m in model.decoder.modules() if isinstance(m, nn.Linear))
        assert torch.allclose(last.bias.sigmoid(), torch.full((64,), p), atol=1e-6)
        assert float(first.weight.std()) == pytest.approx(1 / math.sqrt(64 * p * (1 - p)), rel=0.05)
    conv = aecore.build("sparse_kl", (1, 8, 8), code=6, p=0.3, net="conv", width=64)
    assert torch.allclose(conv.encoder[0][-1].bias.sigmoid(), torch.full((6,), 0.3), atol=1e-6)


# --- damage -------------------------------------------------------------------------------------------------------


def test_noise_has_its_standard_deviation_and_erasures_keep_with_probability_p():
    x = torch.full((200, 10, 10), 0.8)
    noisy = gaussian_noise(x, 0.3) - x
    assert float(noisy.std()) == pytest.approx(0.3, rel=0.03) and abs(float(noisy.mean())) < 0.01
    kept = erasures(x, 0.2)
    assert set(kept.unique().tolist()) == {0.0, x[0, 0, 0].item()}  # what is kept, is kept as it was
    assert float((kept > 0).float().mean()) == pytest.approx(0.2, abs=0.015)
    assert len({tuple(image.flatten().tolist()) for image in kept}) == 200  # each image loses other values


@pytest.mark.parametrize("noise", ["gaussian", "erasures"])
def test_a_denoising_autoencoder_sees_the_damage_and_is_compared_with_the_clean_image(noise):
    model, x = aecore.build("denoising", SHAPE, code=3, width=16, noise=noise, sigma=0.7, p=0.3), some()
    torch.manual_seed(4)
    ours = gaussian_noise(x, 0.7) if noise == "gaussian" else erasures(x, 0.3)
    torch.manual_seed(4)
    assert torch.equal(model.corrupt(x), ours)
    torch.manual_seed(4)
    found = model.terms(Batch(x), ("autoencoder",))["recon"].tolist()
    assert found == pytest.approx(naive.distances("squared", x, model.decode(model.encode(ours))), rel=1e-4)
    seen = []
    model.decoder = Call(lambda h: torch.logit(x.clamp(1e-6, 1 - 1e-6)))  # answers with the clean images
    model.encoder.register_forward_hook(lambda module, given, code: seen.append(given[0]))
    assert float(model.terms(Batch(x), ("autoencoder",))["recon"].sum()) < 1e-8
    assert not torch.allclose(seen[0], x)


@pytest.mark.parametrize(("shape", "patch", "share", "whole"), [((3, 8, 8), 2, 0.75, 12), ((1, 9, 12), 4, 0.5, 4)])
def test_a_masked_autoencoder_erases_its_share_of_whole_patches_and_leaves_the_rest(shape, patch, share, whole):
    """Of 9 × 12 pixels the third row of patches is one pixel high."""
    model, x = aecore.build("mae", shape, patch=patch, share=share, code=3, width=16), torch.rand(50, *shape)
    x_tilde = model.corrupt(x)
    patterns = []
    for image, damaged in zip(x, x_tilde, strict=True):
        erased = []
        for top in range(0, shape[1], patch):
            for left in range(0, shape[2], patch):
                tile = (slice(None), slice(top, top + patch), slice(left, left + patch))
                erased.append(bool((damaged[tile] == ERASED).all()))
                assert erased[-1] or torch.equal(damaged[tile], image[tile])
        assert sum(erased) == round(share * len(erased))
        patterns.append(tuple(erased))
    assert len(set(patterns)) > 20 and sum(patterns[0]) >= whole
    often = [sum(column) / 50 for column in zip(*patterns, strict=True)]
    assert min(often) > share - 0.3 and max(often) < share + 0.3  # no patch is always or never erased


def test_no_value_of_a_byte_counts_as_erased():
    assert not any(value == ERASED for value in (torch.arange(256) / 255).tolist())
    model = aecore.build("mae", (1, 8, 8), patch=4, share=0.5, code=3, width=16)
    model.decoder = Call(lambda z: torch.zeros(len(z), 1, 8, 8))
    black, white = torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
    for x in (black, white):
        assert model.terms(Batch(x), ("autoencoder",))["recon"].tolist() == [0.25 * 32] * 2


def test_a_masked_autoencoder_keeps_one_patch_and_erases_one():
    x = torch.rand(3, 1, 8, 8)
    for share, erased in ((0.95, 3), (0.05, 1)):
        model = aecore.build("mae", (1, 8, 8), patch=4, share=share, code=3, width=16)
        assert (model.corrupt(x) == ERASED).flatten(1).sum(1).tolist() == [16 * erased] * 3
    assert aecore.build("mae", (1, 8, 10), patch=16, width=16).patch == 4  # half of the shorter side


def test_a_masked_autoencoder_is_told_nothing_of_what_is_erased_and_pays_for_nothing_that_is_seen():
    model, x = aecore.build("mae", (1, 8, 8), code=3, width=16, patch=2), torch.rand(6, 1, 8, 8)
    codes, logits = [], torch.zeros(6, 1, 8, 8, requires_grad=True)
    model.encoder.register_forward_hook(lambda module, given, code: codes.append(code))
    model.decoder = Call(lambda z: logits)
    torch.manual_seed(3)
    erased = model.corrupt(x) == ERASED
    found = []
    for moved in (x, torch.where(erased, torch.rand_like(x), x)):
        torch.manual_seed(3)
        found.append(model.terms(Batch(moved), ("autoencoder",))["recon"])
    assert torch.equal(*codes) and not torch.equal(*found)
    assert found[0].tolist() == pytest.approx(
        [float((image[m] - 0.5).square().sum()) for image, m in zip(x, erased, strict=True)]
    )
    (slope,) = torch.autograd.grad(found[0].sum(), logits)
    assert torch.equal(slope != 0, erased)


def test_the_decoder_of_a_masked_autoencoder_is_told_the_code_of_what_is_seen():
    model, x = aecore.build("mae", (1, 8, 8), code=3, width=16, patch=2, share=0.5), torch.rand(6, 1, 8, 8)
    torch.manual_seed(3)
    x_tilde = model.corrupt(x)
    x_hat = model.decode(model.encode(x_tilde))
    expected = [float(((u - v) ** 2)[m].sum()) for u, v, m in zip(x, x_hat, x_tilde == ERASED, strict=True)]
    torch.manual_seed(3)
    assert model.terms(Batch(x), ("autoencoder",))["recon"].tolist() == pytest.approx(expected, rel=1e-5)


def test_an_encoder_of_parts_receives_what_is_seen_and_where_over_the_share_that_is_seen():
    given, x = [], torch.rand(2, 3, 4, 4)
    seen = Seen(Call(lambda values: given.append(values) or values.flatten(1)))
    x[0, :, :2] = ERASED
    x[1, 1, 3, 3] = ERASED  # one colour that happens to be grey does not erase a pixel
    seen(x)
    for image, found, share in zip(x, given[0], (0.5, 1.0), strict=True):
        for i in range(4):
            for j in range(4):
                known = bool((image[:, i, j] != ERASED).any())
                expected = [float(v) / share for v in image[:, i, j]] if known else [0.0] * 3
                assert found[:, i, j].tolist() == pytest.approx([*expected, known / share])


def test_a_part_of_an_image_tells_a_layer_that_sums_as_much_as_the_whole():
    sums, x = Seen(Call(lambda values: values.sum((2, 3)))), torch.full((1, 1, 8, 8), 0.3)
    part = x.clone()
    part[..., :6] = ERASED
    assert torch.allclose(sums(part), sums(x)) and torch.allclose(sums(x), torch.tensor([[0.3 * 64, 64.0]]))
    assert torch.equal(sums(torch.full_like(x, ERASED)), torch.zeros(1, 2))


# --- Jacobians ----------------------------------------------------------------------------------------------------


def contractive(net: str, code: int = 5) -> Model:
    return aecore.build("contractive", (1, 8, 8), net=net, code=code, width=16).double()


def test_tied_weights_decode_with_the_encoders_own_matrix():
    layer = nn.Linear(24, 3)
    tied, h = Transposed(layer, SHAPE), torch.randn(5, 3)
    tied.bias.data.normal_()
    expected = [[sum(float(layer.weight[j, i] * code[j]) for j in range(3)) for i in range(24)] for code in h]
    assert torch.allclose(tied(h).flatten(1), torch.tensor(expected) + tied.bias, atol=1e-5)
    assert [name for name, _ in tied.named_parameters()] == ["bias"]
    assert reaches(tied(h), layer.weight)
    model = aecore.build("contractive", SHAPE, code=3)
    x = some()
    activations = x.flatten(1) @ model.encoder[1].weight.T + model.encoder[1].bias
    assert torch.allclose(model.encode(x), torch.sigmoid(activations), atol=1e-6)
    assert torch.allclose(model.decode(h).flatten(1), torch.sigmoid(h @ model.encoder[1].weight), atol=1e-6)
    assert model.players()["autoencoder"].lr == 10
    assert aecore.build("contractive", SHAPE, code=3, net="dense").players()["autoencoder"].lr == 1


def test_the_closed_form_of_the_jacobians_norm_is_autograds():
    model, x = contractive("sigmoid"), torch.rand(6, 1, 8, 8).double()
    model.encoder[1].bias.data.normal_()
    expected = naive.jacobian_norms(model.encoder, x)
    assert torch.allclose(sigmoid_jacobian(model.encoder[1].weight, model.encoder(x)).double(), expected, rtol=1e-5)
    with torch.no_grad():
        assert torch.allclose(model.terms(Batch(x), ("autoencoder",))["jacobian"].double(), expected, rtol=1e-5)


@pytest.mark.parametrize("net", ["dense", "conv"])
def test_the_estimate_of_the_jacobians_norm_is_unbiased(net):
    model, x = contractive(net), torch.rand(3, 1, 8, 8).double()
    expected = naive.jacobian_norms(model.encoder, x)
    with torch.no_grad():  # as held-out terms are taken
        _, found = model.encode_with_jacobian(x.repeat(1000, 1, 1, 1))
    found = found.view(1000, 3).double()
    assert ((found.mean(0) - expected).abs() < 5 * found.std(0) / 1000**0.5).all()
    assert (found.std(0) > 0).all()


def test_the_estimate_is_the_squared_length_of_the_jacobian_under_random_signs():
    """For J of two rows it is ‖J_1 + J_2‖² or ‖J_1 − J_2‖², each about as often."""
    J = torch.tensor([[1.0, 2.0, 0.5], [-0.5, 1.0, 3.0]])
    x = torch.zeros(400, 3, requires_grad=True)
    found = estimated_jacobian(x, x @ J.T, create_graph=False)
    alike, unlike = (float((J[0] + sign * J[1]).square().sum()) for sign in (1, -1))
    values = [round(v, 3) for v in found.tolist()]
    assert set(values) == {round(alike, 3), round(unlike, 3)}
    assert 120 < values.count(round(alike, 3)) < 280
    assert not found.requires_grad and estimated_jacobian(x, (x @ J.T).sin(), create_graph=True).requires_grad


@pytest.mark.parametrize("net", ["dense", "conv"])
def test_with_one_unit_the_estimate_and_its_gradient_are_exact(net):
    model, x = contractive(net, code=1), torch.rand(3, 1, 8, 8).double()
    _, found = model.encode_with_jacobian(x)
    assert found.requires_grad and torch.allclose(found.double(), naive.jacobian_norms(model.encoder, x), rtol=1e-5)
    weight = next(model.encoder.parameters())
    (slope,) = torch.autograd.grad(found.sum(), weight)
    step = 1e-4 * torch.randn_like(weight)
    with torch.no_grad():
        weight += step
        up = naive.jacobian_norms(model.encoder, x).sum()
        weight -= 2 * step
        down = naive.jacobian_norms(model.encoder, x).sum()
    assert float((slope * step).sum() * 2) == pytest.approx(float(up - down), rel=0.05)


@pytest.mark.parametrize("net", ["sigmoid", "dense"])
def test_the_code_beside_the_norm_is_the_code_and_both_terms_reach_the_encoder(net):
    model, x = contractive(net), torch.rand(3, 1, 8, 8).double()
    h, _ = model.encode_with_jacobian(x)
    assert torch.allclose(h, model.encode(x))
    terms = model.terms(Batch(x), ("autoencoder",))
    weight = next(model.encoder.parameters())
    for name in ("recon", "jacobian"):
        assert reaches(terms[name], weight), name
    assert not reaches(terms["jacobian"], model.decoder.bias if net == "sigmoid" else next(model.decoder.parameters()))


# --- small codes and a smooth decoder -----------------------------------------------------------------------------


def rae(shape=(1, 8, 8), **params) -> Model:
    return aecore.build("rae", shape, code=3, width=16, **params).double()


def test_the_penalty_on_a_decoders_gradient_is_the_squared_norm_of_autograds_jacobian():
    """Exactly where the decoder gives one number, and without bias where it gives more; and so for a linear one."""
    for shape, repeats in (((1,), 1), ((1, 8, 8), 2000), ((5,), 2000)):
        model, x = rae(shape, smooth="gradient"), torch.rand(4, *shape).double()
        if shape == (5,):
            model.decoder = nn.Linear(3, 5).double()
        z = model.encode(x)
        expected = naive.jacobian_norms(lambda z, model=model: model.decoder(z).sigmoid(), z.detach())
        with torch.no_grad():  # as held-out terms are taken
            found = model.terms(Batch(x.repeat(repeats, *[1] * len(shape))), ("autoencoder",))["slope"].double()
        assert found.shape == (repeats * 4,)
        found = found.view(repeats, 4)
        allowed = 5 * found.std(0) / repeats**0.5 if repeats > 1 else 1e-5 * expected
        assert ((found.mean(0) - expected).abs() < allowed).all()
    slope = model.terms(Batch(x), ("autoencoder",))["slope"]
    assert reaches(slope, model.decoder.weight) and reaches(slope, next(model.encoder.parameters()))


def test_the_other_penalty_is_the_sum_of_the_decoders_squared_weights_and_the_codes_is_half_their_squared_length():
    model, x = rae(smooth="weights", beta=0.3, lam=0.2), torch.rand(4, 1, 8, 8).double()
    terms = model.terms(Batch(x), ("autoencoder",))
    assert terms["slope"].shape == () and terms["size"].shape == (4,)
    assert float(terms["slope"].detach()) == pytest.approx(
        sum(float(v**2) for p in model.decoder.parameters() for v in p.detach().flatten())
    )
    assert terms["size"].tolist() == pytest.approx(
        [0.5 * sum(float(v) ** 2 for v in z) for z in model.encode(x).detach()]
    )
    assert dict(model.players()["autoencoder"].weights) == {"recon": 1.0, "size": 0.3, "slope": 0.2}
    into, out = next(model.encoder.parameters()), next(model.decoder.parameters())
    found = {name: (reaches(term, into), reaches(term, out)) for name, term in terms.items()}
    assert found == {"recon": (True, True), "size": (True, False), "slope": (False, True)}
