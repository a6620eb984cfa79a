"""Outline of the heart of the sprites, at scale 1.

The points are those of its right half, in pixels of a 64 × 64 image, with the origin at the position of the sprite and
y downwards; the left half is the mirror image. UPPER goes from the notch at the top to the rightmost point, LOWER from
the tip at the bottom to the same point. x grows along both, so that a point is inside when it lies between them.

Source: an outline given with this project's notes on data (dsprites_heart_outline.json), after the heart of
dSprites (Matthey et al., 2017).
"""

# fmt: off
UPPER = (
    (0.0, -5.385), (0.897, -7.241), (2.257, -8.686), (3.789, -9.296), (5.351, -9.326),
    (6.855, -8.911), (7.977, -7.912), (8.943, -6.747), (9.487, -5.333), (9.652, -3.834),
)

LOWER = (
    (0.0, 9.122), (1.197, 7.324), (2.117, 6.208), (2.919, 5.392), (3.659, 4.693),
    (4.37, 4.043), (5.041, 3.368), (5.777, 2.713), (6.504, 1.97), (7.235, 1.124),
    (8.035, 0.155), (8.772, -1.0), (9.369, -2.347), (9.652, -3.834),
)
# fmt: on
