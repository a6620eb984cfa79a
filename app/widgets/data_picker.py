"""What to train on: the named data sets with their downloads, and the visitor's own pictures."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from aecore import DataError
from aecore import data as datasets
from aecore.data.base import Data, DataSpec
from aecore.explore import examples
from aecore.models.entry import Entry
from aecore.paths import root
from aecore.runs.files import write_aside, write_text
from app import library
from app.figures import plots
from app.link import format_value
from app.session import plain_errors
from app.state import Choice, Flag, Line, Word
from app.text import escape_markdown

OWN = datasets.OWN
NATURAL, ALL = "natural", "all"  # the size of the images as they come; no limit
PLACES = {"upload": "Upload", "folder": "Folder on this computer"}
TYPES = ["png", "jpg", "jpeg", "webp", "zip"]


class DataState:
    """The choice of data, on every page that offers one."""

    name: Choice[str] = Choice("data")  # of the sets that the page can use
    size: Choice[str] = Choice("data.size", (NATURAL, "8", "16", "28", "32", "48", "64", "96", "128"))
    limit: Choice[str] = Choice("data.limit", (ALL, "500", "1000", "2000", "5000", "10000", "20000", "50000"))
    grey = Flag("data.grey")
    path = Line("data.path")
    source: Choice[str] = Choice("data.from", tuple(PLACES))


def data_query(spec: DataSpec) -> dict[str, str]:
    """The choice of data as parts of a link."""
    parts = {
        DataState.name.name: spec.name,
        DataState.size.name: str(spec.size or NATURAL),
        DataState.limit.name: str(spec.limit or ALL),
        DataState.grey.name: format_value(spec.grey),
    }
    return parts | ({DataState.path.name: spec.path} if spec.path else {})


@dataclass
class Download:
    """One that runs, or how it ended."""

    share: float = 0.0
    words: str = "Connecting …"
    trouble: str = ""
    over: bool = False
    guard: threading.Lock = field(default_factory=threading.Lock)


@st.cache_resource(show_spinner=False)
def _downloads() -> dict[str, Download]:
    """Of all visitors: nobody downloads what another is downloading."""
    return {}


def _fetch(name: str, download: Download) -> None:
    def tell(share: float, words: str) -> None:
        download.share, download.words = share, words

    try:
        datasets.load(name, download=True, progress=tell)
    except DataError as error:
        download.trouble = str(error)
    except Exception as error:  # in a thread of its own nobody else would hear of it
        download.trouble = f"The download failed ({error}). Try again later."
    download.over = True


def offer(name: str, info: datasets.Info) -> None:
    """A button that downloads a data set, and how far that is."""
    running = _downloads().get(name)
    if running is None or running.over:
        if running and running.trouble:
            st.error(running.trouble, icon=":material/cloud_off:")
        if st.button(f"Download ({info.download_mb} MB)", icon=":material/download:", key=f"get-{name}"):
            _downloads()[name] = made = Download()
            threading.Thread(target=_fetch, args=(name, made), daemon=True, name=f"download-{name}").start()
            st.rerun()
        return

    def follow() -> None:
        if running.over:
            library.sets.clear()
            st.rerun()
        st.progress(min(1.0, running.share), text=running.words)

    st.fragment(follow, run_every=0.7)()


def _upload() -> str | None:
    """Files from the visitor's computer, kept beside the runs; returns where, once they are new."""
    files = st.file_uploader(
        "Pictures, or a zip of them",
        TYPES,
        accept_multiple_files=True,
        key="upload",
        help="Folders in a zip become labels. PNG, JPEG, WebP.",
    )
    if not files:
        return None
    named = [(file.name, file.getvalue()) for file in files]
    mark = hashlib.sha256()
    for name, content in named:
        mark.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    folder = (root() / ".pictures" / mark.hexdigest()[:16]).absolute()
    report = folder.with_suffix(".json")
    if not report.exists():
        with st.spinner("Looking at the pictures …"):
            found = datasets.ingest(named, folder)
        said = {
            "taken": found.taken,
            "classes": found.classes,
            "notes": found.notes[:50],
            "left_out": [list(pair) for pair in found.left_out[:200]],
        }
        write_text(report, json.dumps(said))
    return str(folder)


def kept(label: str, names: Mapping[str, str], page: str, help: str = "") -> str | None:
    """A file of the visitor's, kept beside the runs and named in the link: its path, None until there is one.

    names: ending → what such a file is called there.  help: below the box while there is none.
    """
    file = st.file_uploader(label, list(names), key=f"{page}.upload", max_upload_size=64)
    link = Word(f"{page}.file")
    place, folder = link.get(), root() / ".files"
    if file is not None:
        name, content = names[file.name.rpartition(".")[2].lower()], file.getvalue()
        place = hashlib.sha256(name.encode() + b"\0" + content).hexdigest()[:16]
        if not (folder / place / name).exists():
            (folder / place).mkdir(parents=True, exist_ok=True)
            write_aside(folder / place / name, lambda path: path.write_bytes(content))
        link.put(place)
    found = []
    if re.fullmatch("[0-9a-f]{16}", place) and (folder / place).is_dir():
        found = sorted(path for path in (folder / place).iterdir() if path.name in names.values())
    if not found and help:
        st.caption(help)
    return str(found[0].absolute()) if found else None


def _report(path: str) -> None:
    """What became of the files of an upload."""
    try:
        said = json.loads(Path(path).with_suffix(".json").read_text())
    except (OSError, ValueError):
        return
    labels = f", labels {', '.join(said['classes'][:12])}" if said["classes"] else ""
    st.markdown(escape_markdown(f"{said['taken']:,} pictures taken{labels}."))
    if said["left_out"]:
        with st.expander(f"{len(said['left_out'])} left out", icon=":material/info:"):
            for name, why in said["left_out"]:
                st.markdown(f"**{escape_markdown(str(name))}** {escape_markdown(str(why))}")
    if said["notes"]:
        with st.expander("What was done to them"):
            st.markdown("\n".join(f"- {escape_markdown(note)}" for note in said["notes"]))


def own(page: str) -> str:
    """The folder of the visitor's own pictures, "" until there is one."""
    path, source = DataState.path.under(f"{page}.path"), DataState.source.under(f"{page}.from")
    chosen = path.now()
    source = source.given(default="folder" if chosen else "upload", label=PLACES.__getitem__)
    if source.option("Where from") == "upload":
        found = _upload()
        if found and found != chosen:
            path.put(found)
            chosen = found
    else:
        path.input("Folder or zip on the computer that runs this app", placeholder="Its full path")
    if chosen:
        _report(chosen)
    return chosen.strip()


def choose(entry: Entry, page: str) -> tuple[DataSpec | None, Data | None]:
    """Boxes and buttons for the data. Returns what is chosen (None: there is no choice), and the data where they are
    here and good."""
    sets = {name: info for name, info in library.sets().items() if info.kind in entry.kinds}
    options = [*sets, *([OWN] if "image" in entry.kinds else [])]
    if not options:
        st.info(f"There are no data yet that {entry.name} can be trained on here.", icon=":material/info:")
        return None, None
    titles = {key: sets[key].title if key in sets else "Your own pictures" for key in options}
    name = DataState.name.under(f"{page}.data").given(options=options, label=titles.__getitem__).box("Data")
    info, path = sets.get(name), ""
    if info is None:
        with plain_errors():
            path = own(page)
    else:
        wanted = f"Not on this computer yet: a download of {info.download_mb} MB."
        place = escape_markdown(wanted if info.download_mb and not info.here else info.place)
        st.caption(f"{info.train:,} + {info.test:,} held out. {place}")
        if not info.here and info.download_mb:
            offer(name, info)
    with st.expander("Size, colour and number", icon=":material/photo_size_select_large:"):
        sizes = _with(DataState.size.under(f"{page}.size"), 8, 128)
        side = sizes.given(label=lambda s: s if s.isdigit() else _usual(info)).box("Side in pixels")
        limit = _with(DataState.limit.under(f"{page}.limit"), 2, 10_000_000).box("Training images at most")
        grey = DataState.grey.under(f"{page}.grey").toggle("grey", help="turn colours to grey")
    spec = DataSpec(
        name=name,
        size=int(side) if side.isdigit() else None,
        grey=grey,
        path=path or None,
        limit=int(limit) if limit.isdigit() else None,
    )
    if not (path if info is None else info.here):
        return spec, None
    with plain_errors():
        data = library.load(spec)
        if data.kind not in entry.kinds:
            raise DataError(f"{entry.name} takes {' or '.join(entry.kinds)} data. Choose other data.")
        if info is None:
            st.caption(escape_markdown(data.source))
        if data.kind == "image":
            st.image(_sample(spec.model_dump_json()), width="stretch", alt=f"Twenty images of {data.title}")
        return spec, data
    return spec, None


def _with(choice: Choice[str], low: int, high: int) -> Choice[str]:
    """The choice, with the number that the link asks for as one more option where it is another one."""
    number = choice.in_link()
    fits = number.isdecimal() and number not in choice.options and low <= int(number) <= high
    return choice.given(options=(*choice.options, number)) if fits else choice


def _usual(info: datasets.Info | None) -> str:
    return f"as it is ({info.size})" if info else "32"


@st.cache_data(max_entries=32, show_spinner=False)
def _sample(spec: str) -> bytes:
    """Twenty training images on one sheet."""
    data = library.load(DataSpec.model_validate_json(spec))
    tiles = examples.images(data.train, examples.choose(data.train, 20), 64)
    return plots.png(plots.grid(tiles, 10, scale=max(1, 60 // tiles.shape[1])))
