"""Reading and writing the files of a run folder so that a kill at any moment leaves them whole."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import RunError


def remedy(error: OSError) -> str:
    """What went wrong on the disk, and what helps, as a sentence or two."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(error):
        return "The disk is full. Free some space, then resume."
    return f"{error.strerror or error}."


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour, then put it in the place of `path` in one step."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        write(aside)
        os.replace(aside, path)
    except OSError as error:
        raise RunError(f"{path} could not be written. {remedy(error)}") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step; RunError where that fails."""
    write_aside(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file in one step; RunError where that fails."""

    def write(aside: Path) -> None:
        try:
            save_file({name: value.contiguous() for name, value in tensors.items()}, aside, metadata)
        except SafetensorError as error:  # its only cause when writing is the file system
            raise OSError(None, str(error)) from error

    write_aside(path, write)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a safetensors file; RunError where it is missing, cut short or something else."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise RunError(f"{path} is missing. Train the run again, or copy the whole folder anew.") from None
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} is damaged or no safetensors file ({error}). Copy it anew, or train again.") from error
