"""Readers of ratings: the formats of MovieLens, and the user's own CSV tables."""

from __future__ import annotations

import csv
import io
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from aecore.errors import DataError

from ..ratings import Ratings

if TYPE_CHECKING:  # pandas takes half a second to import
    import pandas as pd

NAMES = {
    "user": ("user", "userid", "user_id"),
    "item": ("item", "itemid", "item_id", "movie", "movieid", "movie_id", "film", "filmid", "film_id"),
    "rating": ("rating", "ratings", "stars", "score"),
}
"""What a CSV may call each column."""

GENRES_OF_U_ITEM = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""The genres in u.item, in the order of its columns of 0 and 1."""

AGES = {"under 25": (0, 25), "25 to 44": (25, 45), "45 and over": (45, 200)}
"""Groups of ages in years, as traits of users; the first year belongs to a group, the last does not."""

LOWEST, HIGHEST = -10, 100
"""Ratings outside this range are refused."""

NOT_RATINGS = ("tags.csv", "links.csv", "genome-scores.csv", "genome-tags.csv")
"""Other tables in the archives of GroupLens, which are not read."""


def from_path(path: str | Path, title: str = "") -> Ratings:
    """Ratings from a file (u.data, ratings.dat, ratings.csv), or from a folder or zip that holds one.

    Titles and genres are read from u.item, movies.dat or movies.csv beside it, traits of users from u.user or
    users.dat. Raises DataError, with the remedy.
    """
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            files = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file() and _wanted(file.name)}
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                files = {Path(name).name: archive.read(name) for name in archive.namelist() if _wanted(name)}
        else:
            files = {path.name: path.read_bytes()}
    except (OSError, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(
            f"{path.name} could not be read: {error}. Choose a file, folder or zip with ratings."
        ) from error
    return read(files, title or path.stem, f"Read from {path}.")


def _wanted(name: str) -> bool:
    name = Path(name).name
    movielens = ("u.data", "u.item", "u.user", "ratings.dat", "movies.dat", "users.dat")
    return name in movielens or (name.endswith(".csv") and name not in NOT_RATINGS)


def read(files: Mapping[str, bytes], title: str = "Ratings", source: str = "", attribution: str = "") -> Ratings:
    """Ratings from the contents of files by name (see `from_path`). Raises DataError for files that cannot be used."""
    name, table = _ratings_table(files)
    user, item, rating = _checked(name, table)
    users, u = np.unique(user, return_inverse=True)
    items, i = np.unique(item, return_inverse=True)
    if len(users) < 2 or len(items) < 2:
        one, what = ("user", "users") if len(users) < 2 else ("film", "films")
        raise DataError(f"{name} has ratings of one {one} only. At least 2 {what} are needed to learn what is common.")
    _once(name, users, items, u, i)
    matrix = csr_matrix((rating.astype(np.float32), (u, i)), (len(users), len(items)))
    try:
        titles, genres, genre_names = _item_side(files, items)
        traits, trait_names = _user_side(files, users)
    except (IndexError, ValueError, csv.Error) as error:
        others = ", ".join(sorted(set(files) - {name}))
        raise DataError(
            f"What is told of films or users beside {name} could not be read ({others}): {error}. "
            "Correct these files, or leave them out."
        ) from error
    return Ratings(
        title,
        matrix,
        titles,
        genres,
        genre_names,
        traits,
        trait_names,
        source or f"Read from {name}.",
        attribution or "Your own ratings",
    )


def _ratings_table(files: Mapping[str, bytes]) -> tuple[str, pd.DataFrame]:
    """The name of the file of ratings, and its text in columns user, item, rating."""
    import pandas as pd

    tables = [name for name in files if name.endswith(".csv") and name not in ("movies.csv", *NOT_RATINGS)]
    candidates = [name for name in ("u.data", "ratings.dat", "ratings.csv") if name in files] or tables
    if not candidates:
        raise DataError("There is no file of ratings. Give u.data, ratings.dat or a CSV with user, film and rating.")
    name = candidates[0]
    raw = files[name]
    if not raw.strip():
        raise DataError(f"{name} is empty. It needs a line for each rating: user, film, rating.")
    if name == "u.data":
        return name, _csv(name, raw, "\t")
    if name == "ratings.dat":
        return name, _csv(name, raw.replace(b"::", b"\t"), "\t")
    table = _csv(name, raw, ",", header=0)
    columns = {}
    for column, names in NAMES.items():
        matching = [c for c in table.columns if str(c).strip().lower() in names]
        if not matching:
            raise DataError(
                f"{name} has no column “{column}”. Its first line must name user, item and rating; "
                f"it names {', '.join(map(str, table.columns))}."
            )
        columns[column] = table[matching[0]]
    return name, pd.DataFrame(columns)


def _csv(name: str, raw: bytes, separator: str, header: int | None = None) -> pd.DataFrame:
    """The table: numbers as numbers where every cell is one, else text.

    header: line of the names of columns. Without one, user, item and rating are the first three columns.
    """
    import pandas as pd

    leading_zero = re.search(rb"(?:^|[\n,\t])0\d", raw)  # an id 007 is a name, not the number 7
    with suppress(ValueError), warnings.catch_warnings(action="ignore"):
        # Where every value is a number, twenty million lines take a tenth of the memory that they take as text.
        table = pd.read_csv(io.BytesIO(raw), sep=separator, header=header)
        complete = len(table) > 0 and not table.isna().to_numpy().any() and table.shape[1] >= 3
        if complete and not leading_zero and all(map(pd.api.types.is_numeric_dtype, table.dtypes)):
            return table if header is not None else table.iloc[:, :3].set_axis(["user", "item", "rating"], axis=1)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    try:
        table = pd.read_csv(io.StringIO(text), sep=separator, header=header, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{name} is not a table: {str(error).strip()}. Give one rating a line.") from error
    if not len(table):
        raise DataError(f"{name} has no ratings below its first line. It needs a line for each.")
    if header is None:
        if table.shape[1] < 3:
            raise DataError(f"{name} has {table.shape[1]} columns. It needs three: user, film, rating.")
        table = table.iloc[:, :3]
        table.columns = ["user", "item", "rating"]
    return table.fillna("")


def _checked(name: str, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, items and ratings (n,) each; ids are whole numbers where all are, else text.

    Raises DataError that names the first bad line.
    """
    import pandas as pd

    first = 1 if name in ("u.data", "ratings.dat") else 2  # number of the first rating's line
    rating = np.asarray(pd.to_numeric(table["rating"], errors="coerce"), float)
    if (bad := np.flatnonzero(~np.isfinite(rating))).size:
        cell = str(table["rating"].iloc[bad[0]])
        raise DataError(
            f"{name}, line {bad[0] + first}: the rating “{cell}” is not a number. "
            f"Correct or delete that line{_more(bad)}."
        )
    if (bad := np.flatnonzero((rating < LOWEST) | (rating > HIGHEST))).size:
        raise DataError(
            f"{name}, line {bad[0] + first}: a rating of {rating[bad[0]]:g}. Ratings from {LOWEST} to "
            f"{HIGHEST} are allowed: bring them to such a scale."
        )
    if (bad := np.flatnonzero(rating == 0)).size:
        raise DataError(
            f"{name}, line {bad[0] + first}: a rating of 0 could not be told from none{_more(bad)}. "
            "Add the same number to all ratings, or delete those lines."
        )
    ids = []
    for column in ("user", "item"):
        if table[column].dtype == np.int64:
            ids.append(table[column].to_numpy(np.int64))
            continue
        text = table[column].astype(str).str.strip()
        if (bad := np.flatnonzero((text == "") | (text.str.lower() == "nan"))).size:
            raise DataError(
                f"{name}, line {bad[0] + first}: the {column} is missing. Correct or delete that line{_more(bad)}."
            )
        all_whole = text.str.fullmatch(r"(0|[1-9]\d{0,17})(\.0)?").all()  # 007 is a name, not the number 7
        ids.append(text.str.removesuffix(".0").to_numpy(str).astype(np.int64) if all_whole else text.to_numpy(str))
    return ids[0], ids[1], rating


def _more(bad: np.ndarray) -> str:
    return "" if len(bad) == 1 else f" and {len(bad) - 1:,} more like it"


def _once(name: str, users: np.ndarray, items: np.ndarray, u: np.ndarray, i: np.ndarray) -> None:
    """Raises DataError where a user rated an item twice.  u, i: of each rating, its user and item by number."""
    pair = u.astype(np.int64) * len(items) + i
    values, counts = np.unique(pair, return_counts=True)
    if len(values) < len(pair):
        user, item = divmod(int(values[counts.argmax()]), len(items))
        raise DataError(
            f"{name}: user {users[user]} rated film {items[item]} {counts.max()} times. Keep one of them; "
            f"{(counts > 1).sum():,} pairs are repeated."
        )


def _lines(raw: bytes, separator: str) -> list[list[str]]:
    """The lines of a file of MovieLens, split at the separator; blank lines are left out."""
    text = raw.decode("latin-1")
    if len(separator) > 1:  # the csv module splits at single characters only
        text, separator = text.replace(separator, "\t"), "\t"
    lines = csv.reader(io.StringIO(text, newline=None), delimiter=separator, quoting=csv.QUOTE_NONE)
    return [line for line in lines if any(cell.strip() for cell in line)]


def _item_side(files: Mapping[str, bytes], items: np.ndarray) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """Titles, genres (items, G) and names of genres, as far as the files tell them."""
    import pandas as pd

    known: dict[str, tuple[str, tuple[str, ...]]] = {}  # id → title, genres
    if "u.item" in files:
        for line in _lines(files["u.item"], "|"):
            genres = (genre for genre, flag in zip(GENRES_OF_U_ITEM, line[5:], strict=False) if flag == "1")
            known[line[0]] = (line[1], tuple(genres))
    elif "movies.dat" in files:
        known = {line[0]: (line[1], tuple(line[2].split("|"))) for line in _lines(files["movies.dat"], "::")}
    elif "movies.csv" in files:
        table = pd.read_csv(io.BytesIO(files["movies.csv"]), dtype=str, keep_default_na=False)
        known = {row[0]: (row[1], tuple(row[2].split("|"))) for row in table.iloc[:, :3].itertuples(index=False)}
    facts = [known.get(str(item), (f"film {item}", ())) for item in items]
    names = sorted({genre for _, genres in facts for genre in genres} - {"(no genres listed)", "unknown"})
    marks = np.array([[name in genres for name in names] for _, genres in facts], np.float32)
    titles = [title for title, _ in facts]
    twice = {title for title, count in Counter(titles).items() if count > 1}
    titles = [f"{title} [{item}]" if title in twice else title for title, item in zip(titles, items, strict=True)]
    return tuple(titles), marks.reshape(len(items), len(names)), tuple(names)


def _user_side(files: Mapping[str, bytes], users: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Traits (users, T) of 0 and 1 and their names: gender and age, where the files tell them."""
    if "u.user" in files:
        known = {line[0]: (line[2], int(line[1])) for line in _lines(files["u.user"], "|")}
    elif "users.dat" in files:
        known = {line[0]: (line[1], int(line[2])) for line in _lines(files["users.dat"], "::")}
    else:
        return np.zeros((len(users), 0), np.float32), ()
    facts = [known.get(str(user), ("", -1)) for user in users]
    traits = [[gender == "F", *(low <= age < high for low, high in AGES.values())] for gender, age in facts]
    return np.array(traits, np.float32), ("woman", *AGES)
