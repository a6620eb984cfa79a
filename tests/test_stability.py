"""Every model of images on its defaults, for thirty steps: nothing overflows, nobody has won, nothing has collapsed.

What five epochs come to is measured by `make study`.
"""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from aecore import CATALOG, DataSpec, Plan, Training
from aecore.catalog import seeded_build
from aecore.data import load
from tests.study import signs

STEPS = 30
SLOW = {"pixelcnn", "pixelrnn", "pixelcnn_decoder", "ali", "hali", "alice", "wgan", "factor_vae"}
"""Those whose thirty steps take a second or more."""


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(key, marks=pytest.mark.slow) if key in SLOW else key
        for key, entry in CATALOG.items()
        if "image" in entry.kinds
    ],
)
def test_thirty_steps_on_the_defaults(key):
    entry, data = CATALOG[key], load(DataSpec(name="digits", size=16, limit=1000))
    model = seeded_build(entry, data.shape, entry.check({}), 0)
    plan = Plan(**{**entry.plan, "epochs": 100, "batch": 64, "precision": "fp32"})
    training = Training(model, data, plan, "cpu")
    training.eval_steps, training.every = [], STEPS // 3
    rows = list(islice(training, 3))  # Diverged where a term is no number
    assert rows[-1]["step"] == STEPS
    for term in {"recon", "nll"} & set(rows[0]["train"]):  # weights may rise during a training
        assert rows[2]["train"][term] < rows[0]["train"][term]
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values() if value.is_floating_point())
    found = signs(model.eval().requires_grad_(False), entry, data, rows[-1])
    assert found.get("critic", 1) > 0.1  # 0.4 and more; 2 log 2 at chance
    assert found.get("active", 1) > 0.2  # 0.37 and more, with β = 4; else 0.8
    assert found.get("variety", 1) > 1e-3  # 0.006 and more
    assert "recon" not in entry.terms or found["error"] < 4  # by that of the mean image: 2.7 and less
