"""Ratings of items by users: GroupLens files, and a generated world whose true tastes are known (chapter §4.5).

A rating that nobody gave is no number: matrices are sparse, and only the rows of a minibatch are made dense.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.special import ndtr
from torch import Tensor

from .base import Batch, Data, DataError, DataSpec
from .fetch import fetch
from .places import Info, Progress, cache_dir, places
from .shaping import choose

if TYPE_CHECKING:  # pandas takes half a second to import, and only files need it
    import pandas as pd

# --- what ratings are -----------------------------------------------------------------------------------


class Ratings(NamedTuple):
    """Who gave how many stars to what.

    matrix: (users, items) sparse float32; what is not stored was not rated.
    titles: of the items.  genres: (items, G) of 0 and 1.  traits: (users, T) of 0 and 1; G or T may be 0.
    truth: (users, items) the mean rating that each user would give, where it is known.
    noise: standard deviation of a rating around its mean, where it is known.
    tastes: (users, K) and (items, K) true factors, where they are known.
    """

    title: str
    matrix: csr_matrix
    titles: tuple[str, ...]
    genres: np.ndarray
    genre_names: tuple[str, ...]
    traits: np.ndarray
    trait_names: tuple[str, ...]
    source: str
    attribution: str
    truth: np.ndarray | None = None
    noise: np.ndarray | None = None
    tastes: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def transposed(self) -> csr_matrix:
        """(items, users)"""
        return self.matrix.T.tocsr()


class Rows:
    """Examples that are rows of a sparse matrix (n, D); only those of a minibatch are made dense.

    side: (n, A) what else is known of each example, or None.
    known: whether these are the examples that a model may know by number: then `Batch.y` is the row, else −1.
    """

    labels: np.ndarray | None = None

    def __init__(
        self,
        matrix: csr_matrix,
        side: np.ndarray | None = None,
        known: bool = True,
        device: torch.device | str = "cpu",
    ):
        self.matrix, self.side, self.known, self.device = matrix, side, known, torch.device(device)

    def __len__(self) -> int:
        return self.matrix.shape[0]

    def batch(self, index: Tensor) -> Batch:
        which = index.cpu().numpy()
        x, mask = dense(self.matrix[which])
        y = which if self.known else np.full(len(which), -1)
        side = None if self.side is None or not self.side.shape[1] else torch.from_numpy(self.side[which])
        parts = (torch.from_numpy(x), torch.from_numpy(y).long(), torch.from_numpy(mask), side)
        return Batch(*(part if part is None else part.to(self.device) for part in parts))

    def to(self, device: torch.device | str) -> Rows:
        return Rows(self.matrix, self.side, self.known, device)


def dense(rows: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """(ratings, mask), each (n, D) float32; 0 where nobody rated. A stored rating of 0 is a rating."""
    x, mask = np.zeros(rows.shape, np.float32), np.zeros(rows.shape, np.float32)
    at = (np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices)
    x[at], mask[at] = rows.data, 1
    return x, mask


@dataclass(frozen=True)
class RatingsData(Data):
    """Ratings with users as examples ("users"), or items ("items"); `attributes` names what else is known of each."""

    rows: str = "users"

    @property
    def kind(self) -> str:
        return "ratings"


def as_data(ratings: Ratings, rows: str = "users", spec: DataSpec | None = None, held_out: float = 0.2) -> RatingsData:
    """Ratings with users or items as examples, of which a seeded share is held out.

    Held-out examples are others, not other ratings of the same: `aecore.tasks.recommend` splits ratings.
    """
    spec = spec or DataSpec(name="ratings" if rows == "users" else "ratings-items")
    matrix = ratings.matrix if rows == "users" else ratings.transposed
    side, names = (ratings.traits, ratings.trait_names) if rows == "users" else (ratings.genres, ratings.genre_names)
    order = np.random.default_rng(0).permutation(matrix.shape[0])
    count = min(max(1, round(held_out * len(order))), len(order) - 1)
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    kept = kept[choose(len(kept), spec.limit)]
    return RatingsData(
        spec, _title(ratings.title, rows), (matrix.shape[1],), Rows(matrix[kept], side[kept]),
        Rows(matrix[held], side[held], known=False), ratings.source, ratings.attribution, attributes=tuple(names),
        rows=rows,
    )  # fmt: skip


def _title(title: str, rows: str) -> str:
    return title if rows == "users" else f"{title}, films as examples"


# --- the generated world --------------------------------------------------------------------------------

WORLD = "Ratings of films that do not exist"
USERS, ITEMS, TASTES = 1000, 400, 8
MADE = "Made on this computer."
MAKER = "Made by this program: users, films and tastes are invented"
GENRES = ("Comedy", "Crime", "Romance", "Science fiction", "Documentary", "Western", "Musical", "Ghost story")
TRAITS = ("student", "parent", "night worker", "gardener", "sailor", "teacher")
_BEGINNINGS = {
    "Comedy": ("Two Aunts in", "The Wrong Wedding of", "Nobody Leaves", "My Goat from", "Breakfast at"),
    "Crime": ("The Ledger of", "A Cold Case in", "Nine Alibis for", "The Locksmith of", "Blackmail in"),
    "Romance": ("Letters from", "Last Dance in", "A Spring in", "Meet Me in", "The Rain over"),
    "Science fiction": ("Orbit of", "Signals from", "The Robots of", "Year 3000 in", "Escape from"),
    "Documentary": ("The Bees of", "How They Built", "The Bakers of", "A Year in", "Voices of"),
    "Western": ("The Sheriff of", "Dust over", "Three Horses to", "The Last Train to", "Gold in"),
    "Musical": ("Singing in", "The Tubas of", "Curtain Up in", "Tap Dancing to", "The Choir of"),
    "Ghost story": ("The Cellar of", "Whispers in", "What Walks in", "The Candle of", "Midnight in"),
}
_FIRST = ("Ober", "Quin", "Brel", "Thistle", "Mar", "Wim", "Dor", "Fen", "Hol", "Ask", "Lun", "Pel")
_SECOND = ("moor", "dle", "low", "wick", "stad", "borough", "minster", "vik", "haven", "mouth")
STARS = np.arange(1, 6)


@lru_cache(maxsize=4)
def world(seed: int = 0, users: int = USERS, items: int = ITEMS) -> Ratings:
    """Users and films with known tastes; the same seed gives the same world.

    t_ui = 3.3 + b_u + c_i + ⟨p_u, q_i⟩; a rating is t_ui + 0.6 ε with ε ~ N(0, 1), rounded to 1 … 5 stars. p_u is the
    user's own taste plus what the user's traits bring; q_i is what the film's genres bring plus its own. Who sees what
    is not chance: film i is seen by u with a chance that grows with the film's popularity, with how much u watches, and
    with t_ui, so that people have mostly rated what they like.

    truth: E[rating of u for i] with rounding and the ends of the scale counted, for all pairs.  noise: its deviation.
    """
    random = np.random.default_rng((7, seed))
    genres = np.zeros((items, len(GENRES)), np.float32)
    first = random.integers(len(GENRES), size=items)
    genres[np.arange(items), first] = 1
    also = random.random(items) < 0.35
    genres[also, random.integers(len(GENRES), size=int(also.sum()))] = 1
    traits = (random.random((users, len(TRAITS))) < 0.3).astype(np.float32)
    q = genres @ random.normal(size=(len(GENRES), TASTES)) + 0.6 * random.normal(size=(items, TASTES))
    p = 0.9 * traits @ random.normal(size=(len(TRAITS), TASTES)) + random.normal(size=(users, TASTES))
    taste = p @ q.T
    taste *= 0.8 / taste.std()
    b, c = 0.35 * random.normal(size=(users, 1)), 0.45 * random.normal(size=(1, items))
    t = 3.3 + b + c + taste
    stars = np.clip(np.rint(t + 0.6 * random.normal(size=t.shape)), 1, 5)

    popular = random.normal(size=(1, items)) + c
    active = np.exp(random.normal(-2.6, 0.9, size=(users, 1)))
    liking = np.exp(0.9 * popular + 0.8 * taste)
    chance = np.clip(active * liking / liking.mean(1, keepdims=True), 0, 0.9)
    seen = random.random(t.shape) < chance
    seen[np.arange(users), chance.argmax(1)] = True  # nobody, and no film, is without any rating
    seen[chance.argmax(0), np.arange(items)] = True

    edges = np.concatenate([[-np.inf], STARS[:-1] + 0.5, [np.inf]])
    shares = np.diff(ndtr((edges - t[..., None]) / 0.6), axis=-1)
    truth = shares @ STARS
    u, i = np.nonzero(seen)
    return Ratings(
        WORLD, csr_matrix((stars[u, i].astype(np.float32), (u, i)), t.shape), _titles(first, random), genres, GENRES,
        traits, TRAITS, MADE, MAKER, truth, np.sqrt(np.maximum(shares @ STARS**2 - truth**2, 0)), (p, q),
    )  # fmt: skip


def _titles(first: np.ndarray, random: np.random.Generator) -> tuple[str, ...]:
    """A title for each film, after its first genre; no two alike, all in places that do not exist."""
    places_ = [a + b for a in _FIRST for b in _SECOND]
    names = {
        genre: random.permutation([f"{beginning} {place}" for beginning in _BEGINNINGS[genre] for place in places_])
        for genre in GENRES
    }
    return tuple(str(names[GENRES[genre]][k]) for k, genre in enumerate(first))


# --- files ----------------------------------------------------------------------------------------------

NAMES = {
    "user": ("user", "userid", "user_id"),
    "item": ("item", "itemid", "item_id", "movie", "movieid", "movie_id", "film", "filmid", "film_id"),
    "rating": ("rating", "ratings", "stars", "score"),
}
ML_100K_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
AGES = {"under 25": (0, 25), "25 to 44": (25, 45), "45 and over": (45, 200)}


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


LOWEST, HIGHEST = -10, 100
ASIDE = ("tags.csv", "links.csv", "genome-scores.csv", "genome-tags.csv")  # in GroupLens' archives, of no use here


def _wanted(name: str) -> bool:
    name = Path(name).name
    known = ("u.data", "u.item", "u.user", "ratings.dat", "movies.dat", "users.dat")
    return name in known or (name.endswith(".csv") and name not in ASIDE)


def read(files: Mapping[str, bytes], title: str = "Ratings", source: str = "", attribution: str = "") -> Ratings:
    """Ratings from the contents of files by name (see `from_path`); DataError, in a sentence, for what is wrong."""
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
    except (IndexError, ValueError) as error:
        there = ", ".join(sorted(set(files) - {name}))
        raise DataError(f"What is told of films or users beside {name} could not be read ({there}): {error}. "
                        "Correct these files, or leave them out.") from error  # fmt: skip
    return Ratings(title, matrix, titles, genres, genre_names, traits, trait_names, source or f"Read from {name}.",
                   attribution or "Your own ratings")  # fmt: skip


def _ratings_table(files: Mapping[str, bytes]) -> tuple[str, pd.DataFrame]:
    """The name of the file of ratings, and its text in columns user, item, rating."""
    import pandas as pd

    tables = [name for name in files if name.endswith(".csv") and name not in ("movies.csv", *ASIDE)]
    known = [name for name in ("u.data", "ratings.dat", "ratings.csv") if name in files] or tables
    if not known:
        raise DataError("There is no file of ratings. Give u.data, ratings.dat or a CSV with user, film and rating.")
    name = known[0]
    raw = files[name]
    if not raw.strip():
        raise DataError(f"{name} is empty. It needs a line for each rating: user, film, rating.")
    if name == "u.data":
        return name, _csv(name, raw, "\t")
    if name == "ratings.dat":
        return name, _csv(name, raw.replace(b"::", b"\t"), "\t")
    table = _csv(name, raw, ",", header=0)
    found = {}
    for column, names in NAMES.items():
        there = [c for c in table.columns if str(c).strip().lower() in names]
        if not there:
            raise DataError(f"{name} has no column “{column}”. Its first line must name user, item and rating; "
                            f"it names {', '.join(map(str, table.columns))}.")  # fmt: skip
        found[column] = table[there[0]]
    return name, pd.DataFrame(found)


def _csv(name: str, raw: bytes, separator: str, header: int | None = None) -> pd.DataFrame:
    """Numbers as such, all else as text. Without a header: user, item and rating are the first three columns."""
    import pandas as pd

    named = re.search(rb"(?:^|[\n,\t])0\d", raw)  # ids such as 007 are names, and another than 7
    with suppress(ValueError), warnings.catch_warnings(action="ignore"):
        # Where every value is a number, twenty million lines take a tenth of the memory that they take as text.
        table = pd.read_csv(io.BytesIO(raw), sep=separator, header=header)
        whole = len(table) and not table.isna().any(axis=None)
        if whole and not named and all(map(pd.api.types.is_numeric_dtype, table.dtypes)) and table.shape[1] >= 3:
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
    """users, items as they are called, and ratings as numbers; DataError names the first bad line."""
    import pandas as pd

    first = 1 if name in ("u.data", "ratings.dat") else 2
    rating = pd.to_numeric(table["rating"], errors="coerce").to_numpy(float)
    if (bad := np.flatnonzero(~np.isfinite(rating))).size:
        said = str(table["rating"].iloc[bad[0]])
        raise DataError(f"{name}, line {bad[0] + first}: the rating “{said}” is not a number. "
                        f"Correct or delete that line{_more(bad)}.")  # fmt: skip
    if (bad := np.flatnonzero((rating < LOWEST) | (rating > HIGHEST))).size:
        raise DataError(f"{name}, line {bad[0] + first}: a rating of {rating[bad[0]]:g}. Ratings from {LOWEST} to "
                        f"{HIGHEST} are allowed: bring them to such a scale.")  # fmt: skip
    if (bad := np.flatnonzero(rating == 0)).size:
        raise DataError(f"{name}, line {bad[0] + first}: a rating of 0 could not be told from none{_more(bad)}. "
                        "Add the same number to all ratings, or delete those lines.")  # fmt: skip
    ids = []
    for column in ("user", "item"):
        if table[column].dtype == np.int64:
            ids.append(table[column].to_numpy(np.int64))
            continue
        text = table[column].astype(str).str.strip()
        if (bad := np.flatnonzero((text == "") | (text.str.lower() == "nan"))).size:
            raise DataError(f"{name}, line {bad[0] + first}: the {column} is missing. Correct or delete that line"
                            f"{_more(bad)}.")  # fmt: skip
        whole = text.str.fullmatch(r"(0|[1-9]\d{0,17})(\.0)?").all()  # 007 is another than 7
        ids.append(text.str.removesuffix(".0").to_numpy(str).astype(np.int64) if whole else text.to_numpy(str))
    return ids[0], ids[1], rating


def _more(bad: np.ndarray) -> str:
    return "" if len(bad) == 1 else f" and {len(bad) - 1:,} more like it"


def _once(name: str, users: np.ndarray, items: np.ndarray, u: np.ndarray, i: np.ndarray) -> None:
    """DataError where a user rated an item twice."""
    pair = u.astype(np.int64) * len(items) + i
    values, counts = np.unique(pair, return_counts=True)
    if len(values) < len(pair):
        user, item = divmod(int(values[counts.argmax()]), len(items))
        raise DataError(f"{name}: user {users[user]} rated film {items[item]} {counts.max()} times. Keep one of them; "
                        f"{(counts > 1).sum():,} pairs are repeated.")  # fmt: skip


def _lines(raw: bytes, separator: str) -> list[list[str]]:
    return [line.split(separator) for line in raw.decode("latin-1").splitlines() if line.strip()]


def _item_side(files: Mapping[str, bytes], items: np.ndarray) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """Titles, genres (items, G) and names of genres, as far as files tell them."""
    import pandas as pd

    known: dict[str, tuple[str, tuple[str, ...]]] = {}
    if "u.item" in files:
        for line in _lines(files["u.item"], "|"):
            marked = (genre for genre, flag in zip(ML_100K_GENRES, line[5:], strict=False) if flag == "1")
            known[line[0]] = (line[1], tuple(marked))
    elif "movies.dat" in files:
        known = {line[0]: (line[1], tuple(line[2].split("|"))) for line in _lines(files["movies.dat"], "::")}
    elif "movies.csv" in files:
        table = pd.read_csv(io.BytesIO(files["movies.csv"]), dtype=str, keep_default_na=False)
        known = {row[0]: (row[1], tuple(row[2].split("|"))) for row in table.iloc[:, :3].itertuples(index=False)}
    of = [known.get(str(item), (f"film {item}", ())) for item in items]
    names = sorted({genre for _, genres in of for genre in genres} - {"(no genres listed)", "unknown"})
    genres = np.array([[name in some for name in names] for _, some in of], np.float32).reshape(len(items), len(names))
    titles = [title for title, _ in of]
    twice = {title for title, count in Counter(titles).items() if count > 1}
    titles = [f"{title} [{item}]" if title in twice else title for title, item in zip(titles, items, strict=True)]
    return tuple(titles), genres, tuple(names)


def _user_side(files: Mapping[str, bytes], users: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Traits (users, T) and their names: gender and age, where files tell them."""
    if "u.user" in files:
        known = {line[0]: (line[2], int(line[1])) for line in _lines(files["u.user"], "|")}
    elif "users.dat" in files:
        known = {line[0]: (line[1], int(line[2])) for line in _lines(files["users.dat"], "::")}
    else:
        return np.zeros((len(users), 0), np.float32), ()
    of = [known.get(str(user), ("", -1)) for user in users]
    traits = [[gender == "F", *(low <= age < high for low, high in AGES.values())] for gender, age in of]
    return np.array(traits, np.float32), ("woman", *AGES)


# --- MovieLens ------------------------------------------------------------------------------------------


class MovieLens(NamedTuple):
    """An official archive of GroupLens, which may not be passed on: everyone downloads their own."""

    title: str
    file: str
    md5: str
    mb: int
    users: int
    items: int

    @property
    def url(self) -> str:
        return f"https://files.grouplens.org/datasets/movielens/{self.file}"

    def place(self) -> Path | None:
        """The archive, or the folder that was unpacked from it, where this computer has one."""
        for root in places():
            for name in (self.file, Path(self.file).stem):
                if (root.folder / name).exists():
                    return root.folder / name
        return None

    def load(self, download: bool = False, progress: Progress | None = None) -> Ratings:
        place = self.place()
        if place is None and download:
            place = cache_dir() / "data" / self.file
            fetch([self.url], self.md5, place, progress)
        if place is None:
            raise DataError(f"{self.title} is not on this computer. Download it ({self.mb} MB), or put {self.file} "
                            "into a folder that AECORE_DATA names.")  # fmt: skip
        return _movielens(str(place), place.stat().st_mtime, self)


MOVIELENS = {
    "ml-100k": MovieLens("MovieLens 100K", "ml-100k.zip", "0e33842e24a9c977be4e0107933c0723", 5, 943, 1682),
    "ml-1m": MovieLens("MovieLens 1M", "ml-1m.zip", "c4d9eecfca2ab87c1945afe126590906", 6, 6040, 3706),
    "ml-20m": MovieLens("MovieLens 20M", "ml-20m.zip", "cd245b17a1ae2cc31bb14903e1204af3", 190, 138_493, 26_744),
}
HARPER = "F. M. Harper and J. A. Konstan (2015), GroupLens, University of Minnesota; not to be passed on"


@lru_cache(maxsize=2)
def _movielens(path: str, stamp: float, which: MovieLens) -> Ratings:
    return from_path(path, which.title)._replace(attribution=HARPER)


@lru_cache(maxsize=4)
def _own(path: str, stamp: float) -> Ratings:
    return from_path(path)


# --- as named data sets ---------------------------------------------------------------------------------


def get(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Ratings:
    """The ratings that a spec names: "ratings" (generated, or from `path`) or a MovieLens; "-items" may follow."""
    name = spec.name.removesuffix("-items")
    if name in MOVIELENS:
        return MOVIELENS[name].load(download, progress)
    if spec.path:
        path = Path(spec.path).expanduser()
        if not path.exists():
            raise DataError(f"There is no {path}. Name a file, folder or zip with ratings.")
        return _own(str(path), path.stat().st_mtime)
    return world()


def load(spec: DataSpec, download: bool = False, progress: Progress | None = None) -> RatingsData:
    """As data to train on; of "…-items" the items are the examples."""
    rows = "items" if spec.name.endswith("-items") else "users"
    return as_data(get(spec, download, progress), rows, spec)


def info(name: str) -> Info:
    rows = "items" if name.endswith("-items") else "users"
    which = MOVIELENS.get(name.removesuffix("-items"))
    users, items = (which.users, which.items) if which else (USERS, ITEMS)
    examples, size = (users, items) if rows == "users" else (items, users)
    held = round(0.2 * examples)
    place = which.place() if which else None
    words = MADE if which is None else f"From {place}." if place else f"A download from {which.url}."
    return Info(
        _title(which.title if which else WORLD, rows), size, 1, examples - held, held, None,
        here=which is None or place is not None, place=words, download_mb=which.mb if which else 0,
        attribution=HARPER if which else MAKER, kind="ratings",
    )  # fmt: skip


REGISTERED = ("ratings", "ratings-items", *(f"{name}{rows}" for name in MOVIELENS for rows in ("", "-items")))
