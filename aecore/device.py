"""Where to compute, and in what precision."""

from __future__ import annotations

import ctypes
import platform
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


def keep_memory() -> None:
    """Let this process keep what it frees, where its allocator is glibc's; nothing elsewhere.

    By default glibc hands tensors of a few megabytes back to the system at once, and every step pays for fetching the
    same pages again: a convolutional step took 1.2 to 1.35 times as long.
    """
    if platform.libc_ver()[0] == "glibc":
        M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


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
