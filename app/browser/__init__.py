"""Components that run in the browser: drawn on a canvas, they answer the user without the server.

Each folder holds one component: a Python function with its JavaScript and CSS beside it. A component receives its
images once, as one packed value (see `pack`), draws from them while the user drags, and reports to Python when the user
lets go.
"""

from .copy_link import copy_link
from .drawer import Stage, drawer
from .film import film
from .identity import identity
from .latent_map import MapView, latent_map
from .pack import atlas, pack, unpack
from .pad import pad, rasterise
from .planes import Pane, planes
from .scrubber import Move, scrubber
from .swarm import Dots, Field, swarm
from .threshold import threshold

__all__ = [
    "Dots",
    "Field",
    "MapView",
    "Move",
    "Pane",
    "Stage",
    "atlas",
    "copy_link",
    "drawer",
    "film",
    "identity",
    "latent_map",
    "pack",
    "pad",
    "planes",
    "rasterise",
    "scrubber",
    "swarm",
    "threshold",
    "unpack",
]
