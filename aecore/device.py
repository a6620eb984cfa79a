"""Where to compute, and in what precision."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


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


class Replays:
    """Work of a great many small kernels on a CUDA device, launched as one: captured as a graph, and replayed.

    What is done may depend on nothing but the shapes of the tensors and what the `key` names: every branch taken
    while it is captured is taken for good. The first call with a key computes as ever, the second captures, since
    that takes about as long as computing. The last few are kept.
    """

    KEPT = 4

    def __init__(self):
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor] | None] = {}
        self._lock = threading.Lock()

    def __deepcopy__(self, memo) -> Replays:
        return Replays()  # a graph works on the memory of its own model

    def __reduce__(self):
        return Replays, ()

    def __call__(self, key: Hashable, work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """work(*inputs), a tensor of its own."""
        with self._lock:  # a graph has one set of inputs, and one result
            if key not in self._graphs:
                while len(self._graphs) >= self.KEPT:
                    del self._graphs[next(iter(self._graphs))]
                self._graphs[key] = None
                return work(*inputs)
            found = self._graphs.pop(key)
            if found is None:
                graph, own = torch.cuda.CUDAGraph(), tuple(x.clone() for x in inputs)
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    result = work(*own)
                found = graph, own, result
            self._graphs[key] = found  # as the last one used
            graph, own, result = found
            for mine, x in zip(own, inputs, strict=True):
                mine.copy_(x)
            graph.replay()
            return result.clone()


def one_thread() -> None:
    """Let this process compute with one torch thread: for whatever answers pages beside a training worker."""
    torch.set_num_threads(1)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def all_devices() -> list[str]:
    """Every CUDA device; without any, the best there is."""
    import torch

    count = torch.cuda.device_count()
    return [f"cuda:{number}" for number in range(count)] if count else [best().type]
