"""Shapes in annotations are checked while tests run: a wrong one fails, at the function that was given it."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

import aecore
from aecore.nn import divergences
from aecore.nn.distributions import Normal, distance


def test_a_mean_and_a_variance_of_different_sizes_are_refused():
    with pytest.raises(TypeCheckError):
        Normal(torch.zeros(4, 3), torch.zeros(4, 2))


def test_an_image_and_logits_of_different_sizes_are_refused():
    with pytest.raises(TypeCheckError):  # they would broadcast, and the loss would be a number
        distance("squared", torch.zeros(4, 1, 8, 8), torch.zeros(4, 1, 8, 1))


def test_codes_of_different_sizes_are_refused():
    with pytest.raises(TypeCheckError):
        divergences.squared_distances(torch.zeros(4, 3), torch.zeros(4))


def test_a_whole_model_is_checked():
    model = aecore.build("vae", (1, 8, 8), width=16, code=2)
    assert model.decode(torch.zeros(3, 2)).shape == (3, 1, 8, 8)
    with pytest.raises(TypeCheckError):
        model.decode(torch.zeros(2))  # a code without its batch
    with pytest.raises(TypeCheckError):
        model.encode(torch.zeros(3, 1, 8, 8, dtype=torch.uint8))


def test_sizes_must_agree_within_one_call():
    model = aecore.build("deep", (1, 8, 8), width=16)
    with pytest.raises(TypeCheckError):
        model.reconstruction_error(torch.zeros(3, 1, 8, 8), torch.zeros(2, 16))  # three images, two codes
