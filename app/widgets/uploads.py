"""Files of the visitor's own: pictures to train on, and tables. They are kept beside the runs, under their digests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from aecore import data as datasets
from aecore.paths import root
from aecore.runs.files import write_aside, write_text
from app.state import Choice, Line, Word
from app.text import escape_markdown

SOURCES = {"upload": "Upload", "folder": "Folder on this computer"}
PICTURES = ["png", "jpg", "jpeg", "webp", "zip"]
MOST_MB = 64


class UploadState:
    """Where the visitor's own pictures come from."""

    path = Line("data.path")
    source: Choice[str] = Choice("data.from", tuple(SOURCES), label=SOURCES.__getitem__)


# --- pictures to train on -------------------------------------------------------------------------------------------


def own_pictures(page: str) -> str:
    """The folder or zip of the visitor's own pictures, "" until there is one.

    page: the beginning of the settings' keys.
    """
    path, source = UploadState.path.under(f"{page}.path"), UploadState.source.under(f"{page}.from")
    chosen = path.now()
    if source.given(default="folder" if chosen else "upload").option("Where from") == "upload":
        uploaded = _upload_pictures()
        if uploaded and uploaded != chosen:
            path.put(uploaded)
            chosen = uploaded
    else:
        path.input("Folder or zip on the computer that runs this app", placeholder="Its full path")
    if chosen:
        _tell_what_was_taken(chosen)
    return chosen.strip()


def _upload_pictures() -> str | None:
    """The box for uploads; returns the folder in which the pictures are kept, None until there are any."""
    files = st.file_uploader(
        "Pictures, or a zip of them",
        PICTURES,
        accept_multiple_files=True,
        key="upload",
        help="Folders in a zip become labels. PNG, JPEG, WebP.",
    )
    if not files:
        return None
    contents = [(file.name, file.getvalue()) for file in files]
    digest = hashlib.sha256()
    for name, content in contents:
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    folder = (root() / ".pictures" / digest.hexdigest()[:16]).absolute()
    if not _report_of(folder).exists():
        with st.spinner("Looking at the pictures …"):
            report = datasets.ingest(contents, folder)
        summary = {
            "taken": report.taken,
            "classes": report.classes,
            "notes": report.notes[:50],
            "left_out": [list(pair) for pair in report.left_out[:200]],
        }
        write_text(_report_of(folder), json.dumps(summary))
    return str(folder)


def _report_of(folder: Path) -> Path:
    """The file beside a folder of uploaded pictures that says what became of them."""
    return folder.with_suffix(".json")


def _tell_what_was_taken(path: str) -> None:
    """What became of the files of an upload; nothing for a folder that was not uploaded."""
    try:
        summary = json.loads(_report_of(Path(path)).read_text())
    except (OSError, ValueError):
        return
    labels = f", labels {', '.join(summary['classes'][:12])}" if summary["classes"] else ""
    st.markdown(escape_markdown(f"{summary['taken']:,} pictures taken{labels}."))
    if summary["left_out"]:
        with st.expander(f"{len(summary['left_out'])} left out", icon=":material/info:"):
            for name, reason in summary["left_out"]:
                st.markdown(f"**{escape_markdown(str(name))}** {escape_markdown(str(reason))}")
    if summary["notes"]:
        with st.expander("What was done to them"):
            st.markdown("\n".join(f"- {escape_markdown(note)}" for note in summary["notes"]))


# --- one file that a page asks for ----------------------------------------------------------------------------------


def kept_file(label: str, names: Mapping[str, str], page: str, help: str = "") -> str | None:
    """A file of the visitor's, named in the link by its digest: its path, None until there is one.

    names: what a file with this ending is called where it is kept.  help: stands below the box while there is no file.
    """
    file = st.file_uploader(label, list(names), key=f"{page}.upload", max_upload_size=MOST_MB)
    state, folder = Word(f"{page}.file"), root() / ".files"
    digest = state.get()
    if file is not None:
        name, content = names[file.name.rpartition(".")[2].lower()], file.getvalue()
        digest = hashlib.sha256(name.encode() + b"\0" + content).hexdigest()[:16]
        if not (folder / digest / name).exists():
            (folder / digest).mkdir(parents=True, exist_ok=True)
            write_aside(folder / digest / name, lambda path: path.write_bytes(content))
        state.put(digest)
    paths = []
    if re.fullmatch("[0-9a-f]{16}", digest) and (folder / digest).is_dir():
        paths = sorted(path for path in (folder / digest).iterdir() if path.name in names.values())
    if not paths and help:
        st.caption(help)
    return str(paths[0].absolute()) if paths else None
