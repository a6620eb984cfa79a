"""The choice of data to train on: a named data set or the visitor's own pictures, their size, colour and number."""

from __future__ import annotations

import streamlit as st

from aecore import DataError
from aecore import data as datasets
from aecore.data.base import Data, DataSpec
from aecore.explore import examples
from aecore.models.entry import Entry
from app import library
from app.caching import remember
from app.figures import plots
from app.link import format_value
from app.session import plain_errors
from app.state import Choice, Flag
from app.text import escape_markdown
from app.widgets.data_download import offer_download
from app.widgets.uploads import UploadState, own_pictures

OWN = datasets.OWN
NATURAL, ALL = "natural", "all"  # the size of the images as they come; no limit
SIDES, COUNTS = (8, 128), (2, 10_000_000)  # the least and the most that a link may ask for


class DataState:
    """The choice of data, on every page that offers one; the visitor's own pictures: `uploads.UploadState`."""

    name: Choice[str] = Choice("data")  # of the sets that the page can use
    size: Choice[str] = Choice("data.size", (NATURAL, "8", "16", "28", "32", "48", "64", "96", "128"))
    limit: Choice[str] = Choice("data.limit", (ALL, "500", "1000", "2000", "5000", "10000", "20000", "50000"))
    grey = Flag("data.grey")
    path = UploadState.path
    source = UploadState.source


def data_query(spec: DataSpec) -> dict[str, str]:
    """The choice of data as parts of a link."""
    parts = {
        DataState.name.name: spec.name,
        DataState.size.name: str(spec.size or NATURAL),
        DataState.limit.name: str(spec.limit or ALL),
        DataState.grey.name: format_value(spec.grey),
    }
    return parts | ({DataState.path.name: spec.path} if spec.path else {})


def choose(entry: Entry, page: str) -> tuple[DataSpec | None, Data | None]:
    """Boxes and buttons for the data that a model can be trained on.

    page: the beginning of the settings' keys.
    Returns what is chosen, None where there is no choice; and the data, None while they are not here or not usable.
    """
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
            path = own_pictures(page)
    else:
        _tell_where(name, info)
    spec = _choose_form(name, info, path, page)
    if not (path if info is None else info.here):
        return spec, None
    with plain_errors():
        return spec, _loaded(spec, entry)
    return spec, None


def _tell_where(name: str, info: datasets.Info) -> None:
    """How many examples a data set has, where it comes from, and the button that downloads it."""
    missing = bool(info.download_mb) and not info.here
    place = f"Not on this computer yet: a download of {info.download_mb} MB." if missing else info.place
    st.caption(f"{info.train:,} + {info.test:,} held out. {escape_markdown(place)}")
    if missing:
        offer_download(name, info)


def _choose_form(name: str, info: datasets.Info | None, path: str, page: str) -> DataSpec:
    """Size, colour and number of the images.  info: None for the visitor's own pictures, which lie at `path`."""
    natural = f"as it is ({info.size})" if info else "32"
    with st.expander("Size, colour and number", icon=":material/photo_size_select_large:"):
        sizes = _with_asked(DataState.size.under(f"{page}.size"), *SIDES)
        side = sizes.given(label=lambda text: text if text.isdigit() else natural).box("Side in pixels")
        limit = _with_asked(DataState.limit.under(f"{page}.limit"), *COUNTS).box("Training images at most")
        grey = DataState.grey.under(f"{page}.grey").toggle("grey", help="turn colours to grey")
    return DataSpec(
        name=name,
        size=int(side) if side.isdigit() else None,
        grey=grey,
        path=path or None,
        limit=int(limit) if limit.isdigit() else None,
    )


def _with_asked(choice: Choice[str], low: int, high: int) -> Choice[str]:
    """The choice with one more option where the link asks for another number from `low` to `high`."""
    number = choice.in_link()
    fits = number.isdecimal() and number not in choice.options and low <= int(number) <= high
    return choice.given(options=(*choice.options, number)) if fits else choice


def _loaded(spec: DataSpec, entry: Entry) -> Data:
    """The data, and a sheet of their images; DataError where they cannot be read or do not suit the model."""
    data = library.load(spec)
    if data.kind not in entry.kinds:
        raise DataError(f"{entry.name} takes {' or '.join(entry.kinds)} data. Choose other data.")
    if spec.name == OWN:
        st.caption(escape_markdown(data.source))
    if data.damaged:
        st.warning(escape_markdown(data.damaged), icon=":material/warning:")
    if data.kind == "image":
        st.image(_sample(spec.model_dump_json()), width="stretch", alt=f"Twenty images of {data.title}")
    return data


@remember(max_entries=32)
def _sample(spec: str) -> bytes:
    """Twenty training images on one sheet, as PNG.  spec: a DataSpec as JSON."""
    data = library.load(DataSpec.model_validate_json(spec))
    tiles = examples.images(data.train, examples.choose(data.train, 20), 64)
    return plots.png(plots.grid(tiles, 10, scale=max(1, 60 // tiles.shape[1])))
