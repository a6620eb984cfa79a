"""Downloads one official file, checks it, and puts it under its name only when it is complete."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from aecore.errors import DataError

from ..places import Progress

CHUNK = 2**18
NETWORK = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)


def fetch(urls: Sequence[str], md5: str, to: Path, progress: Progress | None = None, timeout: float = 30) -> None:
    """Download a file from the first of `urls` that has one of the given md5, and put it at `to`.

    timeout: seconds without any data after which the next address is tried.
    Raises DataError when no address has it, or when the file cannot be written.
    """
    part = to.with_name(to.name + ".part")
    trouble = ""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            try:
                if _copy(url, part, to.name, progress, timeout) == md5:
                    part.replace(to)
                    return
                trouble = f"the file from {url} is incomplete or not the official one"
            except NETWORK as e:
                trouble = f"{url} does not answer ({getattr(e, 'reason', e)})"
    except OSError as e:
        raise DataError(
            f"{to.name} could not be written to {to.parent}: {e.strerror or e}. "
            "Free some space, or set AECORE_CACHE to a folder that can be written."
        ) from e
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    raise DataError(
        f"{to.name} could not be downloaded: {trouble}. Check the internet connection and try again, "
        "or point AECORE_DATA at a folder that has the data."
    )


def _copy(url: str, part: Path, name: str, progress: Progress | None, timeout: float) -> str:
    """Download into `part`. Returns the md5 of what was downloaded."""
    digest, done = hashlib.md5(usedforsecurity=False), 0
    request = urllib.request.Request(url, headers={"User-Agent": "autoencoder-explorer"})
    with urllib.request.urlopen(request, timeout=timeout) as answer, part.open("wb") as out:
        total = int(answer.headers.get("Content-Length") or 0)
        while chunk := answer.read(CHUNK):
            out.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if progress:
                of = f" of {total / 1e6:.0f}" if total else ""
                progress(min(done / total, 1.0) if total else 0.0, f"{name}: {done / 1e6:.1f}{of} MB")
    return digest.hexdigest()
