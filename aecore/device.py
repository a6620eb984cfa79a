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
    """Whether this device computes in bfloat16 itself and does not emulate it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without AMX, bfloat16 on a CPU costs more in conversions than it saves.
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


def keep_memory() -> None:
    """Let this process keep the memory it frees, where its allocator is glibc's. Does nothing elsewhere.

    By default glibc returns tensors of a few megabytes to the system at once, and every step has to fetch the same
    pages again: a convolutional step took 1.2 to 1.35 times as long.
    """
    if platform.libc_ver()[0] == "glibc":
        M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the largest value it accepts
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def seed(device: torch.device, number: int) -> None:
    """Seed the random state of the CPU and of this device.

    `torch.manual_seed` also asks for every absent kind of device, which costs a twentieth of a small step.
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
    """Functions of very many small CUDA kernels, each captured once as a graph and then replayed in one launch.

    The work may depend only on the shapes of the tensors and on the `key`, since the branches taken while a graph is
    captured are taken in every replay. The first call with a key computes as usual. The second captures, which takes
    about as long as computing. The last `KEPT` graphs are kept.
    """

    KEPT = 4

    def __init__(self):
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor] | None] = {}
        self._lock = threading.Lock()

    def __deepcopy__(self, memo) -> Replays:
        return Replays()  # a graph reads the memory of the model it was captured with

    def __reduce__(self):
        return Replays, ()

    def __call__(self, key: Hashable, work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """work(*inputs), as a new tensor."""
        with self._lock:  # a graph has one set of inputs and one result
            if key not in self._graphs:
                while len(self._graphs) >= self.KEPT:
                    del self._graphs[next(iter(self._graphs))]
                self._graphs[key] = None
                return work(*inputs)
            captured = self._graphs.pop(key)
            if captured is None:
                graph, static_inputs = torch.cuda.CUDAGraph(), tuple(x.clone() for x in inputs)
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    result = work(*static_inputs)
                captured = graph, static_inputs, result
            self._graphs[key] = captured  # now the one used last
            graph, static_inputs, result = captured
            for static, x in zip(static_inputs, inputs, strict=True):
                static.copy_(x)
            graph.replay()
            return result.clone()


def one_thread() -> None:
    """Let torch compute with one thread in this process: for processes that answer pages beside a training worker."""
    torch.set_num_threads(1)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def all_devices() -> list[str]:
    """Every CUDA device; without any, the best device there is."""
    count = torch.cuda.device_count()
    return [f"cuda:{number}" for number in range(count)] if count else [best().type]
