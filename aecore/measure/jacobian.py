"""How an encoder stretches the space around one image: the singular values of its Jacobian."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from ..data.base import Split
from ..inference import device_of, examples, require
from ..models.base import Model


def singular_values(model: Model, split: Split, example: int) -> Float[np.ndarray, " rank"]:
    """Singular values of J_ji = ∂h_j/∂x_i at one example, (min(D, V),), the largest first.

    Their squares sum to the contractive penalty ‖J‖²_F (chapter Eq. 6): a direction of the input with a small value
    hardly moves the code. Where there is a posterior, h is its mean.
    Source: Rifai et al. (2011), §5.3 of "Contractive auto-encoders", ICML. Departures: at one example, not averaged.
    """
    able = require(model, "encode")
    device = device_of(model)
    x = examples(split, [example]).to(device)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_()
            h = able.encode(x).flatten().float()
            rows = [torch.autograd.grad(unit, x, retain_graph=True)[0].flatten() for unit in h]
    finally:
        model.train(was_training)
    return torch.linalg.svdvals(torch.stack(rows)).cpu().numpy()
