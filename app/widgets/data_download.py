"""The button that downloads a named data set, and how far the download is."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import streamlit as st

from aecore import DataError
from aecore import data as datasets
from app import library
from app.caching import share


@dataclass
class Download:
    """A download that runs, or how it ended.  share: of it that is done.  trouble: why it failed, or ""."""

    share: float = 0.0
    message: str = "Connecting …"
    trouble: str = ""
    over: bool = False


@share()
def _downloads() -> dict[str, Download]:
    """By the name of the data set, shared by all visitors: nobody downloads what another is downloading."""
    return {}


def fetch(name: str, download: Download) -> None:
    """Download a data set, and keep `download` up to date; for a thread of its own."""

    def tell(share: float, message: str) -> None:
        download.share, download.message = share, message

    try:
        datasets.load(name, download=True, progress=tell)
    except DataError as error:
        download.trouble = str(error)
    except Exception as error:  # nobody else would hear of it, since this runs in a thread of its own
        download.trouble = f"The download failed ({error}). Try again later."
    download.over = True


def offer_download(name: str, info: datasets.Info) -> None:
    """The button that downloads a data set, or the progress of its download. The page is run again at the end."""
    running = _downloads().get(name)
    if running is None or running.over:
        if running and running.trouble:
            st.error(running.trouble, icon=":material/cloud_off:")
        if st.button(f"Download ({info.download_mb} MB)", icon=":material/download:", key=f"get-{name}"):
            _downloads()[name] = download = Download()
            threading.Thread(target=fetch, args=(name, download), daemon=True, name=f"download-{name}").start()
            st.rerun()
        return
    st.fragment(_follow, run_every=0.7)(running)


def _follow(download: Download) -> None:
    if download.over:
        library.sets.clear()
        st.rerun()
    st.progress(min(1.0, download.share), text=download.message)
