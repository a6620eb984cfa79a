"""An invented world of users, films and tastes. Its ratings are generated, and its true tastes are known."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import ndtr

from ..base import DataSpec
from ..places import Progress
from ..ratings import Ratings
from .rating_sets import RatingSource, own_ratings

TITLE = "Ratings of films that do not exist"
USERS, ITEMS, TASTES = 1000, 400, 8
SOURCE = "Made on this computer."
ATTRIBUTION = "Made by this program: users, films and tastes are invented"
GENRES = ("Comedy", "Crime", "Romance", "Science fiction", "Documentary", "Western", "Musical", "Ghost story")
TRAITS = ("student", "parent", "night worker", "gardener", "sailor", "teacher")
BEGINNINGS = {
    "Comedy": ("Two Aunts in", "The Wrong Wedding of", "Nobody Leaves", "My Goat from", "Breakfast at"),
    "Crime": ("The Ledger of", "A Cold Case in", "Nine Alibis for", "The Locksmith of", "Blackmail in"),
    "Romance": ("Letters from", "Last Dance in", "A Spring in", "Meet Me in", "The Rain over"),
    "Science fiction": ("Orbit of", "Signals from", "The Robots of", "Year 3000 in", "Escape from"),
    "Documentary": ("The Bees of", "How They Built", "The Bakers of", "A Year in", "Voices of"),
    "Western": ("The Sheriff of", "Dust over", "Three Horses to", "The Last Train to", "Gold in"),
    "Musical": ("Singing in", "The Tubas of", "Curtain Up in", "Tap Dancing to", "The Choir of"),
    "Ghost story": ("The Cellar of", "Whispers in", "What Walks in", "The Candle of", "Midnight in"),
}
PLACE_STARTS = ("Ober", "Quin", "Brel", "Thistle", "Mar", "Wim", "Dor", "Fen", "Hol", "Ask", "Lun", "Pel")
PLACE_ENDS = ("moor", "dle", "low", "wick", "stad", "borough", "minster", "vik", "haven", "mouth")
STARS = np.arange(1, 6)


@lru_cache(maxsize=4)
def world(seed: int = 0, users: int = USERS, items: int = ITEMS) -> Ratings:
    """Users and films with known tastes; the same seed gives the same world.

    t_ui = 3.3 + b_u + c_i + ⟨p_u, q_i⟩, and a rating is t_ui + 0.6 ε with ε ~ N(0, 1), rounded to 1 … 5 stars. p_u is
    the user's own taste plus a part that the user's traits determine; q_i is a part that the film's genres determine
    plus the film's own. Ratings are not missing at random: the probability that u has seen film i grows with the
    popularity of the film, with how much u watches, and with ⟨p_u, q_i⟩, so that people have mostly rated what they
    like.

    `Ratings.truth` is the expected rating for all pairs, with the rounding and the ends of the scale taken into
    account; `Ratings.noise` is its standard deviation.
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
    seen[np.arange(users), chance.argmax(1)] = True  # each user and each film has at least one rating
    seen[chance.argmax(0), np.arange(items)] = True

    edges = np.concatenate([[-np.inf], STARS[:-1] + 0.5, [np.inf]])
    shares = np.diff(ndtr((edges - t[..., None]) / 0.6), axis=-1)
    truth = shares @ STARS
    u, i = np.nonzero(seen)
    return Ratings(
        TITLE,
        csr_matrix((stars[u, i].astype(np.float32), (u, i)), t.shape),
        _titles(first, random),
        genres,
        GENRES,
        traits,
        TRAITS,
        SOURCE,
        ATTRIBUTION,
        truth,
        np.sqrt(np.maximum(shares @ STARS**2 - truth**2, 0)),
        (p, q),
    )


def _titles(first: np.ndarray, random: np.random.Generator) -> tuple[str, ...]:
    """A title for each film, made from its first genre and an invented place; no two are alike."""
    places = [a + b for a in PLACE_STARTS for b in PLACE_ENDS]
    names = {
        genre: random.permutation([f"{beginning} {place}" for beginning in BEGINNINGS[genre] for place in places])
        for genre in GENRES
    }
    return tuple(str(names[GENRES[genre]][k]) for k, genre in enumerate(first))


class World(RatingSource):
    """The generated ratings. A spec with a path stands for the user's own ratings instead."""

    def whereabouts(self) -> tuple[bool, str]:
        return True, SOURCE

    def ratings(self, spec: DataSpec, download: bool = False, progress: Progress | None = None) -> Ratings:
        return own_ratings(spec.path) if spec.path else world()


WORLD = World(TITLE, USERS, ITEMS, ATTRIBUTION)
