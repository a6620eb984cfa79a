"""Components that run in the browser: drawn on a canvas, they answer the user without the server.

Each folder holds one component: a Python function with its JavaScript and CSS beside it. A component receives its
images once, as one packed value (see `pack`), draws from them while the user drags, and reports to Python when the user
lets go.
"""

from app.browser.copy_link import copy_link
from app.browser.drawer import Stage, drawer
from app.browser.film import film
from app.browser.identity import identity
from app.browser.latent_map import MapView, latent_map
from app.browser.pack import atlas, pack, unpack
from app.browser.pad import pad, rasterise
from app.browser.planes import Pane, planes
from app.browser.scrubber import Move, scrubber
from app.browser.swarm import Dots, Field, swarm
from app.browser.threshold import threshold

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
