"""`python -m app`: start the server on this computer and print its address. PORT in the environment sets the port."""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

from app import warm

HERE = Path(__file__).resolve().parent


def is_free(port: int) -> bool:
    """Whether no other program listens on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def warm_up() -> None:
    """Prepare what the first pages need, while the server starts and the browser opens."""
    warm.imported(warm.OURS)
    from aecore import CATALOG
    from aecore.device import one_thread
    from aecore.jobs.queue import Queue

    one_thread()
    with suppress(ValueError, OSError):  # the page will say what is wrong
        run = warm.first_run([run for run in Queue().listing(pretrained=True) if run.info.model in CATALOG])
        if run:
            warm.first_map(run)
    warm.imported(warm.SKLEARN)
    import ot  # noqa: F401  # it takes a second, for which the page on transport would have to wait


def main() -> None:
    """Check the port, and serve until Ctrl-C. Exits with a sentence where the port cannot be used."""
    text = os.environ.get("PORT", "8501")
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        sys.exit(f"PORT={text} is not a port. Give a number from 1 to 65535, for example: PORT=8600 make run")
    port = int(text)
    if not is_free(port):
        sys.exit(
            f"Port {port} is in use, perhaps by this app. Open http://localhost:{port}, "
            f"or choose another port: PORT={port + 1} make run"
        )
    os.chdir(HERE.parent)  # where .streamlit/ and runs/ are
    threading.Thread(target=warm_up, daemon=True).start()
    print(f"\n  Autoencoder Explorer: http://localhost:{port}   (stop with Ctrl-C)\n", flush=True)
    from app import streamlit_internals

    streamlit_internals.serve(str(HERE / "main.py"), port)


if __name__ == "__main__":
    main()
