"""Where to compute, and in what precision."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import statistics
import threading
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout
from torch import Tensor

Chosen = Literal["bf16", "fp32"]
"""In what a training computes: bfloat16 where autocast allows it, or float32."""

GAIN = 1.1  # bf16 must be so many times as fast as fp32 to be chosen
PATIENCE = 30.0  # seconds to wait for another process that is timing
KEPT = 1000  # choices in the file


def best() -> torch.device:
    """cuda, else mps, else cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether this device may be faster in bfloat16, so that timing both is worth while."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    here = torch.backends.mkldnn.is_available()
    return device.type == "cpu" and here and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def first_rule(device: torch.device) -> Chosen:
    """What precision="auto" meant before it was timed: bf16 on a CPU only with AMX, and on a GPU that computes in it.

    Runs that were begun then go on by it.
    """
    fast = has_bf16(device) and (device.type == "cuda" or torch.cpu._is_amx_tile_supported())
    return "bf16" if fast else "fp32"


def fast_precision(
    device: torch.device, what: Mapping[str, Any], measure: Callable[[], list[tuple[float, float]]], folder: Path
) -> Chosen:
    """What precision="auto" means for one kind of training here: bf16 where it is at least `GAIN` times as fast.

    what: all that the speed depends on, except the computer; plain values.
    measure: times it: pairs of seconds in fp32 and in bf16. The median of their ratios decides.
    folder: keeps the choices, in precision.json. So nothing is timed twice, not even by two processes at once. Where it
    cannot be written, or the timing needs too much memory, there is still a choice, which is then not kept.

    The environment variable AECORE_PRECISION, "bf16" or "fp32", decides instead where it is set.
    """
    forced = os.environ.get("AECORE_PRECISION")
    if forced == "bf16" or forced == "fp32":
        return forced
    if not has_bf16(device):
        return "fp32"
    kind = {"processor": processor(device), "torch": torch.__version__, "threads": torch.get_num_threads(), **what}
    key = hashlib.sha256(json.dumps(kind, sort_keys=True).encode()).hexdigest()[:32]
    file = folder / "precision.json"
    lock = FileLock(folder / ".precision.lock", timeout=PATIENCE)
    held = False
    with suppress(OSError, Timeout):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        held = True
    try:
        known = _choices(file)
        if key in known:
            return known[key]["precision"]
        try:
            gain = statistics.median(full / half for full, half in measure())
        except (MemoryError, RuntimeError):
            return "fp32"
        chosen: Chosen = "bf16" if gain >= GAIN else "fp32"
        if held:
            known[key] = {"precision": chosen, "gain": round(gain, 3), **kind}
            newest = dict(list(known.items())[-KEPT:])
            with suppress(OSError):
                aside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
                aside.write_text(json.dumps(newest, indent=1), encoding="utf-8")
                os.replace(aside, file)
        return chosen
    finally:
        lock.release()


def _choices(file: Path) -> dict[str, dict[str, Any]]:
    """The choices that a file holds; those that are damaged are left out."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        key: choice
        for key, choice in found.items()
        if isinstance(choice, dict) and choice.get("precision") in ("bf16", "fp32")
    }


def processor(device: torch.device) -> str:
    """The model of the processor or GPU that computes, for telling one from another."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def wait(device: torch.device) -> None:
    """Wait until this device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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


def autocast(device: torch.device, precision: Chosen) -> AbstractContextManager:
    """The context of a training step in this precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


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
