"""Where to compute, and in what precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def best() -> torch.device:
    """cuda, else mps, else cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is arithmetic of this device's own, not an emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without AMX, bfloat16 on a CPU costs more in conversions than it saves.
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


def seed(device: torch.device, number: int) -> None:
    """Seed the CPU's and this device's random state.

    `torch.manual_seed` also asks every kind of device that is not there, which costs a twentieth of a small step.
    """
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context of a training step. precision: "auto" (bf16 where it is fast), "bf16" or "fp32"."""
    if precision == "bf16" or (precision == "auto" and has_fast_bf16(device)):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def name(device: torch.device) -> str:
    """For people: the GPU's name, or "CPU"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"mps": "Apple GPU", "cpu": "CPU"}[device.type]
