"""Paints a face from its attributes and from everything else about it.

A face is painted from signed distances, shape over shape: background, shirt, hair behind the head, neck, ears, head,
then what lies on it. Coordinates are in half widths of the picture, from −1 to 1, y downwards.

Source: names and meanings of the attributes: Liu et al. (2015), arXiv:1411.7766 (CelebA). The drawing is our own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

ATTRIBUTES = (
    "Male",
    "Young",
    "Black_Hair",
    "Brown_Hair",
    "Blond_Hair",
    "Gray_Hair",
    "Wavy_Hair",
    "Bangs",
    "Receding_Hairline",
    "Bald",
    "Smiling",
    "Mouth_Slightly_Open",
    "Eyeglasses",
    "Wearing_Hat",
    "Mustache",
)
"""The attributes, in the order in which vectors of attributes hold them."""

NUISANCE = (
    "tone",
    "warmth",
    "width",
    "jaw",
    "eye distance",
    "eye size",
    "eye colour",
    "brows",
    "nose",
    "lips",
    "hair shade",
    "shift x",
    "shift y",
    "tilt",
    "size",
    "light",
    "background",
    "brightness",
    "shirt",
    "hat colour",
)
"""Everything else about a face. Each is uniform from −1 to 1 and independent of all attributes."""

AT = {name: k for k, name in enumerate(ATTRIBUTES)}
"""The index of each attribute."""

SKIN = ((0.99, 0.86, 0.76), (0.93, 0.73, 0.58), (0.76, 0.54, 0.39), (0.55, 0.36, 0.25), (0.38, 0.25, 0.18))
HAIRS = ((0.09, 0.08, 0.10), (0.42, 0.24, 0.12), (0.93, 0.76, 0.40), (0.74, 0.75, 0.78))
IRIS = ((0.28, 0.17, 0.09), (0.42, 0.30, 0.12), (0.30, 0.45, 0.22), (0.25, 0.48, 0.66), (0.42, 0.52, 0.58))


def _blend(table: Tensor, t: Tensor) -> Tensor:
    """Colours (B, 3) at t (B,) from −1 to 1 along a table (K, 3)."""
    position = (t + 1) / 2 * (len(table) - 1)
    low = position.floor().clamp(0, len(table) - 2)
    return torch.lerp(table[low.long()], table[low.long() + 1], (position - low)[:, None])


def _hue(t: Tensor, middle: Tensor | float, reach: float) -> Tensor:
    """Colours (B, 3) of hue t (B,): channel k is middle + reach · cos(π t + 2π k / 3), once around from −1 to 1."""
    third = torch.tensor([0.0, 1 / 3, 2 / 3], device=t.device)
    return torch.as_tensor(middle, device=t.device)[..., None] + reach * torch.cos(
        math.pi * t[:, None] + 2 * math.pi * third
    )


class Window(NamedTuple):
    """Some rows of the pictures, which are painted in place.

    u, v: (B, h, W) coordinates on the face, in half widths of the picture; v points down.  image: (B, 3, h, W).
    """

    u: Tensor
    v: Tensor
    image: Tensor

    def over(self, alpha: Tensor, colour: Tensor) -> None:
        """Paint a colour (B, 3), or one for each pixel (B, 3, h, W), with opacity alpha (B, h, W) from 0 to 1."""
        colour = colour[:, :, None, None] if colour.ndim == 2 else colour
        self.image.lerp_(colour.expand_as(self.image), alpha[:, None])


class Painter:
    """Paints faces of size × size pixels on one device. Edges are smoothed over the width of a pixel."""

    CHUNK = 64 * 64 * 16
    """How many pixels are painted at once on a CPU: as many as its cache holds."""

    def __init__(self, size: int = 64, device: torch.device | str = "cpu"):
        self.size, self.pixel, self.device = size, 2 / size, torch.device(device)
        line = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * self.pixel - 1
        self.y, self.x = line[:, None], line[None]
        self.skin, self.hairs, self.iris = (torch.tensor(t, device=device) for t in (SKIN, HAIRS, IRIS))

    def inside(self, d: Tensor) -> Tensor:
        """The share of each pixel inside a shape, from signed distances d (negative inside). Overwrites d."""
        return d.mul_(-1 / self.pixel).add_(0.5).clamp_(0, 1)

    def stroke(self, d: Tensor, half: float | Tensor) -> Tensor:
        """The share of each pixel that a line covers.  d: distances to its middle.  half: of its width."""
        d = d.abs()
        return self.inside(d - half) - self.inside(d + half)

    def window(self, image: Tensor, u: Tensor, v: Tensor, low: float, high: float) -> Window:
        """The rows in which v lies from low to high on every face, whatever its shift, tilt and size."""
        first = int(max(0, math.floor((1 + (low - 0.17)) / self.pixel)))
        last = int(min(self.size, math.ceil((1 + (high + 0.17)) / self.pixel)))
        return Window(u[:, first:last], v[:, first:last], image[:, :, first:last])

    def paint(self, attributes: Tensor, nuisance: Tensor) -> Tensor:
        """attributes (B, A) of 0 and 1, nuisance (B, len(NUISANCE)) from −1 to 1 → (B, 3, size, size) in [0, 1]."""
        a, rest = attributes.to(self.device, torch.float32), nuisance.to(self.device, torch.float32)
        n = self.CHUNK // self.size**2 if self.device.type == "cpu" else 4096
        parts = [self._paint(*pair) for pair in zip(a.split(n), rest.split(n), strict=True)]
        return torch.cat(parts) if parts else torch.zeros(0, 3, self.size, self.size, device=self.device)

    def _paint(self, attributes: Tensor, nuisance: Tensor) -> Tensor:
        B, size = len(attributes), self.size
        on = {name: attributes[:, k, None, None] for name, k in AT.items()}
        rest = {name: nuisance[:, k, None, None] for k, name in enumerate(NUISANCE)}
        flat = {name: nuisance[:, k] for k, name in enumerate(NUISANCE)}
        male, old = on["Male"], 1 - on["Young"]

        # Where each pixel lies on the face.
        angle, scale = 0.13 * rest["tilt"], 1.08 + 0.05 * rest["size"]
        x, y = self.x - 0.07 * rest["shift x"], self.y - 0.07 - 0.05 * rest["shift y"]
        c, s = angle.cos() / scale, angle.sin() / scale
        u, v = c * x + s * y, c * y - s * x
        across, light = u.abs(), 0.5 * rest["light"]

        skin = _blend(self.skin, flat["tone"]) * (
            1 + 0.06 * flat["warmth"][:, None] * self.skin.new_tensor([1.0, 0.0, -1.0])
        )
        grey = skin.mean(1, keepdim=True) * skin.new_tensor([0.98, 0.92, 0.88]) + 0.03
        skin = torch.lerp(skin, grey, 0.42 * old[:, :, 0])  # with age, skin loses colour
        k = attributes[:, AT["Black_Hair"] : AT["Gray_Hair"] + 1]
        hair = (k @ self.hairs) * (1 + 0.14 * flat["hair shade"][:, None])
        lips = torch.lerp(
            skin * skin.new_tensor([0.86, 0.64, 0.62]),
            skin.new_tensor([0.76, 0.16, 0.22]).expand_as(skin),
            0.62 * (1 - male[:, :, 0]),
        )
        dark = skin * skin.new_tensor([0.50, 0.40, 0.38])

        # Background: one colour, lighter at the top and around the head.
        image = torch.empty(B, 3, size, size, device=self.device)
        ground = _hue(flat["background"], 0.58 + 0.16 * flat["brightness"], 0.17)
        glow = 1.10 - 0.16 * self.y - 0.10 * (self.x - 0.4 * light) ** 2 - 0.06 * self.y**2
        torch.mul(ground[:, :, None, None], glow.unsqueeze(1), out=image)

        # Shoulders and shirt.
        body = self.window(image, x.expand(B, size, size), y.expand(B, size, size), 0.62, 1.0)
        top = ((body.u / (0.60 + 0.10 * male)) ** 2).mul_(0.5).add_(0.60).sub_(body.v)
        shirt = _hue(flat["shirt"], 0.45, 0.30)[:, :, None, None]
        folds = 1.06 + 0.25 * light * body.u - 0.30 * body.u**2
        body.over(self.inside(top), shirt * folds[:, None])

        # Long hair behind the head: not a man's, not a bald head's.
        w = 0.415 + 0.03 * rest["width"] + 0.02 * male
        curl = torch.sin(17 * u + 3 * rest["hair shade"]) * torch.sin(15 * v)
        wave = on["Wavy_Hair"] * curl
        cap = (u**2 / (w + 0.065) ** 2 + (v + 0.02) ** 2 / 0.445).sqrt_().sub_(1).mul_(0.54)
        cap = cap - 0.058 * wave * (0.3 + 1.8 * across).clamp_max(1)
        fall = across - (w + 0.058 + 0.07 * v.clamp_min(-0.1)) - 0.050 * wave
        end = v - 0.70 + 0.9 * (across - 0.36).clamp_min(0) ** 2 / 0.1 - 0.02 * wave
        tail = torch.maximum(torch.maximum(fall, end), -0.02 - v)
        long = (1 - on["Bald"]) * (1 - male)
        whole = Window(u, v, image)
        whole.over(self.inside(torch.minimum(cap, tail)) * long, hair * 0.62)

        # Neck, in the shadow of the chin.
        neck = self.window(image, u, v, 0.40, 0.92)
        column = torch.maximum(neck.u.abs() - (0.165 + 0.035 * male), (neck.v - 0.80) + 0.9 * neck.u**2)
        shadow = (0.80 + 0.35 * (neck.v - 0.62)).clamp(0.55, 0.92)
        neck.over(self.inside(column), skin[:, :, None, None] * shadow[:, None])

        # Ears.
        eyes_rows = self.window(image, u, v, -0.16, 0.24)
        ear = (
            (((eyes_rows.u.abs() - w - 0.005) / 0.062) ** 2 + ((eyes_rows.v - 0.04) / 0.115) ** 2)
            .sqrt_()
            .sub_(1)
            .mul_(0.07)
        )
        eyes_rows.over(self.inside(ear), skin * 0.88)

        # Head: narrower towards the chin, squarer for a man; lit from a side, darker towards its edge.
        below = v.clamp_min(0) / 0.62
        narrow = (0.30 - 0.17 * male - 0.07 * rest["jaw"]) * below**2
        q = (u / (w * (1 - narrow))) ** 2
        height = torch.where(v < 0, 0.60, 0.615 + 0.02 * rest["jaw"])
        r = (q + (v / height) ** 2).sqrt_()
        face = self.inside((r - 1) * 0.47)
        lit = 1.05 + 0.22 * light * u / w - 0.16 * r**4 - 0.05 * v
        whole.over(face, skin[:, :, None, None] * lit[:, None])

        self._cheeks(image, u, v, on, old, skin, dark)
        self._nose(image, u, v, rest, light, skin, dark)
        self._mouth(image, u, v, on, rest, lips, hair, male)
        self._eyes(image, u, v, on, rest, old, flat, skin, hair, dark, male, light)
        self._hair(whole, across, on, rest, w, wave, cap, tail, long, hair, skin, light, male, r)
        self._glasses(image, u, v, on, rest, w)
        self._hat(image, u, v, on, flat, w, light)
        return image.clamp_(0, 1)

    def _cheeks(
        self, image: Tensor, u: Tensor, v: Tensor, on: dict[str, Tensor], old: Tensor, skin: Tensor, dark: Tensor
    ) -> None:
        part = self.window(image, u, v, -0.42, 0.50)
        a, b = part.u.abs(), part.v
        blush = torch.exp(-((a - 0.24) ** 2 + (b - 0.21) ** 2) / (0.010 + 0.006 * on["Smiling"]))
        part.over(blush * (0.10 + 0.50 * on["Smiling"]), skin * skin.new_tensor([1.02, 0.66, 0.62]))
        # Age: two lines on the forehead, folds from the nose to the corners of the mouth, bags under the eyes.
        brow = self.stroke(b + 0.340 - 0.22 * part.u**2, 0.015) + self.stroke(b + 0.262 - 0.22 * part.u**2, 0.015)
        brow = brow * ((0.25 - a) / 0.08).clamp(0, 1)
        fold = self.stroke(a - 0.115 - 0.36 * (b - 0.17), 0.021)
        fold = fold * ((b - 0.17) / 0.04).clamp(0, 1) * ((0.43 - b) / 0.05).clamp(0, 1)
        bag = self.stroke(b - 0.088 - 3.8 * (0.0064 - (a - 0.19) ** 2).clamp_min(-0.02), 0.019)
        bag = bag * ((0.098 - (a - 0.19).abs()) / 0.03).clamp(0, 1)
        part.over((brow + fold + bag).clamp(max=1) * (0.70 * old), dark)

    def _nose(
        self, image: Tensor, u: Tensor, v: Tensor, rest: dict[str, Tensor], light: Tensor, skin: Tensor, dark: Tensor
    ) -> None:
        part = self.window(image, u, v, -0.06, 0.28)
        a, b = part.u.abs(), part.v
        wide = 0.062 + 0.014 * rest["nose"]
        t = ((b + 0.04) / 0.27).clamp(0, 1)
        side = (1 - ((a - 0.022 - 0.045 * t) / 0.035).abs()).clamp_min(0) * ((0.24 - b) / 0.05).clamp(0, 1) * t
        lean = torch.where(part.u * light.sign() < 0, 0.16 + 0.26 * light.abs(), 0.10)
        part.over(side * lean, dark)
        tip = torch.exp(-(part.u**2 / 0.0016 + (b - 0.165) ** 2 / 0.004))
        part.over(tip * 0.22, (skin * 1.25).clamp(max=1))
        under = self.stroke(b - 0.225 - 2.5 * (wide**2 - part.u**2).clamp_min(-0.004), 0.013) * self.inside(a - wide)
        part.over(under * 0.55, dark)
        hole = (((a - 0.55 * wide) / 0.022) ** 2 + ((b - 0.222) / 0.013) ** 2).sqrt_().sub_(1).mul_(0.016)
        part.over(self.inside(hole) * 0.75, dark * 0.6)

    def _mouth(
        self,
        image: Tensor,
        u: Tensor,
        v: Tensor,
        on: dict[str, Tensor],
        rest: dict[str, Tensor],
        lips: Tensor,
        hair: Tensor,
        male: Tensor,
    ) -> None:
        part = self.window(image, u, v, 0.26, 0.50)
        smile, gap = on["Smiling"], on["Mouth_Slightly_Open"]
        half = 0.130 + 0.062 * smile
        bow = 1 - (part.u / half) ** 2  # 1 in the middle, 0 at the corners
        on_lips = bow.clamp_min(0)
        line = 0.374 + (0.095 * smile - 0.024) * bow + 0.030 * gap
        b = part.v - line
        open_ = gap * (0.074 + 0.016 * smile) * on_lips
        full = (0.034 + 0.007 * rest["lips"] - 0.006 * male) * on_lips.sqrt()
        within = self.inside(part.u.abs() - half)
        part.over(self.inside(b.abs() - full - open_) * within, lips[:, :, None, None] * (1.06 - 1.6 * b)[:, None])
        hollow = self.inside(b.abs() - open_) * within * gap
        part.over(hollow, lips.new_tensor([[0.22, 0.05, 0.06]]).expand(len(lips), 3))
        teeth = self.inside((b + 0.35 * open_).abs() - 0.55 * open_ + 0.003) * hollow
        part.over(teeth, lips.new_tensor([[0.97, 0.96, 0.93]]).expand(len(lips), 3))
        part.over(self.stroke(b, 0.010) * within * (1 - gap), lips * 0.45)
        corner = torch.exp(-((part.u.abs() - half - 0.012) ** 2 + (part.v - 0.362 - 0.01 * (1 - smile)) ** 2) / 0.0006)
        part.over(corner * 0.4, lips * 0.5)
        tash = part.v - (0.302 + 0.9 * part.u**2)
        thick = 0.050 * (1 - (part.u / 0.19) ** 2).clamp_min(0)
        strands = 1 + 0.16 * torch.sin(55 * part.u)
        part.over(
            self.inside(tash.abs() - thick) * self.inside(part.u.abs() - 0.18) * on["Mustache"],
            0.88 * hair[:, :, None, None] * strands[:, None],
        )

    def _eyes(
        self,
        image: Tensor,
        u: Tensor,
        v: Tensor,
        on: dict[str, Tensor],
        rest: dict[str, Tensor],
        old: Tensor,
        flat: dict[str, Tensor],
        skin: Tensor,
        hair: Tensor,
        dark: Tensor,
        male: Tensor,
        light: Tensor,
    ) -> None:
        part = self.window(image, u, v, -0.24, 0.10)
        apart, large = 0.188 + 0.022 * rest["eye distance"], 1 + 0.12 * rest["eye size"]
        a, b = part.u.abs() - apart, part.v + 0.012
        lid = 1 - (a / (0.094 * large)) ** 2
        upper, lower = (0.056 - 0.010 * old) * large * lid, 0.036 * large * lid
        socket = torch.exp(-(a**2 / 0.013 + (b + 0.015) ** 2 / 0.006))
        part.over(socket * 0.22, dark)
        white = torch.maximum(-b - upper, b - lower)
        opening = self.inside(white)
        part.over(opening, skin.new_tensor([[0.97, 0.97, 0.96]]).expand(len(skin), 3))
        gaze = part.u - torch.where(part.u < 0, -apart, apart) - 0.012 * light
        d = (gaze**2 + (b + 0.006) ** 2).sqrt_()
        iris = _blend(self.iris, flat["eye colour"])
        part.over(
            self.inside(d - 0.043 * large) * opening, iris[:, :, None, None] * (0.75 + 12 * d)[:, None].clamp(max=1.25)
        )
        part.over(self.inside(d - 0.021 * large) * opening, iris * 0.12)
        spark = ((gaze - 0.014 - 0.012 * light) ** 2 + (b + 0.024) ** 2).sqrt_()
        part.over(self.inside(spark - 0.0125), torch.ones_like(skin))
        shut = self.inside(a.abs() - 0.098 * large)
        part.over(self.stroke(b + upper, 0.011 + 0.007 * (1 - male)) * shut * 0.92, dark * 0.35)
        part.over(self.stroke(b - lower, 0.006) * shut * 0.4, dark)
        lash = self.stroke(b + 0.010 + 0.55 * (a - 0.07), 0.012) * self.inside((a - 0.105).abs() - 0.026)
        part.over(lash * (1 - male) * 0.9, dark * 0.3)
        crease = self.stroke(b + upper + 0.024, 0.006) * shut
        part.over(crease * (0.35 + 0.3 * old), dark)
        arch = b + 0.135 + 0.012 * rest["brows"] + 0.035 * (1 - (a / 0.11) ** 2)
        brow = self.stroke(arch, (0.0145 + 0.014 * male) * (1 - 0.45 * ((a + 0.03) / 0.13).clamp(-1, 1)))
        part.over(brow * self.inside(a.abs() - 0.115) * 0.92, 0.62 * hair + 0.25 * dark)

    def _hair(
        self,
        whole: Window,
        across: Tensor,
        on: dict[str, Tensor],
        rest: dict[str, Tensor],
        w: Tensor,
        wave: Tensor,
        cap: Tensor,
        tail: Tensor,
        long: Tensor,
        hair: Tensor,
        skin: Tensor,
        light: Tensor,
        male: Tensor,
        r: Tensor,
    ) -> None:
        x, b, a = whole.u, whole.v, across
        # The hairline: where the forehead begins, lower in front of the ears.
        temples = torch.exp(-(((a - 0.25) / 0.10) ** 2))
        high = -0.405 + 0.30 * (a / 0.40).clamp(max=1.2) ** 4 + 0.012 * torch.sin(9 * x + 2)
        high = high - on["Receding_Hairline"] * (0.020 + 0.150 * temples)
        fringe = -0.185 + 0.10 * a**2 - 0.020 * torch.sin(34 * x + 3 * rest["hair shade"])
        line = torch.lerp(high, fringe, on["Bangs"])
        edge = (w - 0.070) - a + 0.16 * (b - 0.10).clamp_min(0) + 0.02 * wave
        front = torch.maximum(self.inside(b - line), self.inside(edge) * self.inside(b - 0.05 - 0.10 * male - 9 * long))
        top = self.inside(torch.minimum(cap, torch.where(long > 0.5, tail, cap))) * front * (1 - on["Bald"])
        strands = torch.sin(46 * x + 14 * b * x) * 0.05 * (1 - on["Wavy_Hair"])
        shine = torch.exp(-(((b + 0.47 - 0.75 * (x - 0.25 * light) ** 2) / 0.055) ** 2)) * 0.30
        tone = 0.97 + strands + 0.30 * wave + shine + 0.2 * light * x - 0.30 * b.clamp_min(0)
        whole.over(top, hair[:, :, None, None] * tone[:, None] + 0.05 * shine[:, None])
        # A bald head: a fringe above the ears, and a shine.
        rim = self.inside((r - 1.05) * 0.47) * self.inside((w - 0.050) - a + 1.6 * (b + 0.02) ** 2)
        whole.over(rim * self.inside((b + 0.02).abs() - 0.17) * on["Bald"], 0.95 * hair)
        gloss = torch.exp(-((x - 0.12 - 0.2 * light) ** 2 / 0.012 + (b + 0.44) ** 2 / 0.004))
        whole.over(gloss * 0.5 * on["Bald"], torch.ones_like(skin))

    def _glasses(
        self, image: Tensor, u: Tensor, v: Tensor, on: dict[str, Tensor], rest: dict[str, Tensor], w: Tensor
    ) -> None:
        part = self.window(image, u, v, -0.16, 0.14)
        apart = 0.188 + 0.022 * rest["eye distance"]
        a, b = part.u.abs() - apart, part.v - 0.005
        dx, dy = a.abs() - 0.070, b.abs() - 0.055
        d = (dx.clamp_min(0) ** 2 + dy.clamp_min(0) ** 2).sqrt_() + torch.maximum(dx, dy).clamp_max(0) - 0.052
        worn = on["Eyeglasses"]
        lens = self.inside(d.clone())
        glint = self.inside((part.u - torch.where(part.u < 0, -apart, apart) + 0.7 * b + 0.03).abs() - 0.018)
        part.over(lens * worn * (0.26 + 0.30 * glint), lens.new_tensor([[0.80, 0.92, 1.0]]).expand(len(u), 3))
        rim = self.stroke(d, 0.0185)
        bridge = self.stroke(b + 0.022, 0.012) * self.inside(part.u.abs() - apart + 0.118)
        arm = (
            self.stroke(b + 0.03, 0.012)
            * self.inside(apart + 0.118 - part.u.abs())
            * self.inside(part.u.abs() - w - 0.03)
        )
        part.over((rim + bridge + arm).clamp(max=1) * worn, torch.full((len(u), 3), 0.07, device=self.device))

    def _hat(
        self,
        image: Tensor,
        u: Tensor,
        v: Tensor,
        on: dict[str, Tensor],
        flat: dict[str, Tensor],
        w: Tensor,
        light: Tensor,
    ) -> None:
        part = self.window(image, u, v, -0.95, -0.16)
        x, b = part.u, part.v
        colour = _hue(flat["hat colour"], 0.44, 0.30)
        rise = 0.10 * x**2
        dome = (x**2 / (w + 0.085) ** 2 + (b + 0.28) ** 2 / 0.245).sqrt_().sub_(1).mul_(0.49)
        dome = torch.maximum(dome, b + 0.27 - rise)
        lit = 1.0 + 0.35 * light * x - 0.5 * (b + 0.55).clamp_min(0) - 0.35 * x**2
        worn = on["Wearing_Hat"]
        part.over(self.inside(dome) * worn, colour[:, :, None, None] * lit[:, None])
        band = self.inside((b + 0.375 - rise).abs() - 0.045) * self.inside(x.abs() - w - 0.075)
        part.over(band * worn, colour * 0.5)
        brim = ((x.abs() / (w + 0.20)) ** 4 + ((b + 0.29 - 1.2 * rise) / 0.052) ** 2).sqrt_().sub_(1).mul_(0.055)
        part.over(self.inside(brim) * worn, colour[:, :, None, None] * (0.86 * lit)[:, None])
