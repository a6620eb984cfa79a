"""Heartbeats: generated traces of 140 points, most of them normal, some abnormal in a known way.

A beat is a sum of bumps a · exp(−(t − m)² / 2w²), one for each wave (P, Q, R, S, T), with t from 0 to 1 and R at about
0.4. This is the form of McSharry et al. (2003), doi:10.1109/TBME.2003.808805, over one beat. Amplitudes a, times m and
widths w vary from beat to beat; a slow drift and noise are added. The traces look like an ECG, but were not measured.
"""

from __future__ import annotations

import numpy as np

POINTS = 140
KINDS = ("normal", "early ventricular beat", "no P wave", "raised ST segment", "inverted T wave", "flat")
WAVES = {
    "P": (0.13, 0.22, 0.025),
    "Q": (-0.12, 0.365, 0.010),
    "R": (1.0, 0.40, 0.012),
    "S": (-0.25, 0.435, 0.012),
    "T": (0.30, 0.68, 0.045),
}
"""Amplitude (1 for R), time and width of each wave."""

TITLE = "Heartbeats (drawn)"


def draw(n: int, seed: int = 0, abnormal: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """n beats (n, 140) float32, from about −0.6 to 1.6, and their kinds (n,), as indices into KINDS.

    abnormal: the share of beats that are not normal, in which the other kinds have equal shares.
    """
    rng = np.random.default_rng(seed)
    kinds = np.where(rng.random(n) < abnormal, rng.integers(1, len(KINDS), n), 0)
    t = np.linspace(0, 1, POINTS)
    a = {wave: height * rng.lognormal(0, 0.15, n) for wave, (height, _, _) in WAVES.items()}
    m = {wave: time + 0.008 * rng.normal(size=n) for wave, (_, time, _) in WAVES.items()}
    w = {wave: width * rng.lognormal(0, 0.10, n) for wave, (_, _, width) in WAVES.items()}
    rate = rng.normal(1, 0.04, n)  # stretches the time before and after R
    for wave in WAVES:
        m[wave] = 0.4 + (m[wave] - 0.4) * rate
    early, no_p, raised, inverted, flat = (kinds == k for k in range(1, len(KINDS)))
    a["P"] = np.where(early | no_p, 0, a["P"])
    a["Q"] = np.where(early, 0, a["Q"])
    w["R"] = np.where(early, 3.2 * w["R"], w["R"])
    a["S"] = np.where(early, 1.5 * a["S"], a["S"])
    w["S"] = np.where(early, 2.5 * w["S"], w["S"])
    m["S"] = np.where(early, m["S"] + 0.06, m["S"])
    a["T"] = np.where(early | inverted, -0.8 * a["T"], a["T"])
    for wave in WAVES:
        a[wave] = np.where(flat, rng.uniform(0.25, 0.55, n) * a[wave], a[wave])
    x = sum(a[wave][:, None] * np.exp(-((t - m[wave][:, None]) ** 2) / (2 * w[wave][:, None] ** 2)) for wave in WAVES)
    segment = 1 / (1 + np.exp(-(t - 0.46) / 0.008)) / (1 + np.exp((t - 0.62) / 0.02))
    x = x + (raised * rng.uniform(0.12, 0.28, n))[:, None] * segment
    phase, drift = rng.uniform(0, 2 * np.pi, (n, 1)), rng.uniform(0, 0.05, (n, 1))
    x = x + drift * np.sin(2 * np.pi * t + phase) + 0.015 * rng.normal(size=(n, POINTS))
    return x.astype(np.float32), kinds
