"""Backgrounds of color pictures: photographs, rooms of shapes, clouds of color, and mixtures of them."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from training.datasets.color_crops import clouds
from training.photography import saturation_matrix

#: Photographs that come with scikit-image, in the public domain or under CC0 (its data/README.txt).
_PHOTOGRAPHS = (
    'astronaut.png',
    'brick.png',
    'chelsea.png',
    'coffee.png',
    'coins.png',
    'grass.png',
    'gravel.png',
    'hubble_deep_field.jpg',
    'ihc.png',
    'motorcycle_left.png',
    'motorcycle_right.png',
    'rocket.jpg',
    'camera.png',
    'page.png',
)


@lru_cache(maxsize=1)
def _photographs() -> list[np.ndarray]:
    """Read the photographs (H, W, 3) uint8, red green blue; raises FileNotFoundError where they are not installed."""
    found = find_spec('skimage')
    if found is None:
        raise FileNotFoundError('scikit-image is not installed: pip install -r requirements/training.txt')
    folder = Path(found.submodule_search_locations[0]) / 'data'
    return [cv2.cvtColor(cv2.imread(str(folder / name), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for name in _PHOTOGRAPHS]


def _window(picture: np.ndarray, width: int, height: int, rng: np.random.Generator, least: float = 0.2) -> np.ndarray:
    """Cut a window out of a picture: anywhere, from the ``least`` share of it to all, mirrored and turned at random."""
    share = rng.uniform(least, 1)
    h, w = picture.shape[:2]
    wide = min(w, h * width / height) * share
    tall = wide * height / width
    left, top = rng.uniform(0, w - wide), rng.uniform(0, h - tall)
    part = picture[int(top) : int(top + max(tall, 2)), int(left) : int(left + max(wide, 2))]
    part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    if rng.uniform() < 0.5:
        part = part[:, ::-1]
    return part[::-1] if rng.uniform() < 0.15 else part


def _room(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Draw shapes with edges: walls, shelves, screens, lines."""
    image = cv2.resize(clouds(max(width, height), rng), (width, height))
    if rng.uniform() < 0.7:
        image[:] = rng.uniform(20, 235, 3)
        ramp = np.linspace(-1, 1, width)[None, :, None] * rng.normal(0, 30, 3)
        image = np.clip(image + ramp + np.linspace(-1, 1, height)[:, None, None] * rng.normal(0, 30, 3), 0, 255)
        image = image.astype(np.uint8)
    image = np.ascontiguousarray(image)
    for _ in range(rng.integers(0, 14)):
        color = tuple(float(c) for c in rng.uniform(5, 250, 3))
        at = rng.uniform(-0.2, 1.2, 2) * (width, height)
        extent = np.exp(rng.uniform(-3.5, -0.5, 2)) * width
        kind = rng.uniform()
        if kind < 0.55:
            corners = cv2.boxPoints(
                (
                    tuple(at.tolist()),
                    tuple((2 * extent).tolist()),
                    float(rng.normal(0, 6) if rng.uniform() < 0.7 else rng.uniform(0, 180)),
                )
            )
            cv2.fillConvexPoly(image, corners.astype(np.int32), color, cv2.LINE_AA)
        elif kind < 0.75:
            cv2.ellipse(
                image,
                tuple(at.astype(int).tolist()),
                tuple((extent.astype(int) + 1).tolist()),
                float(rng.uniform(0, 180)),
                0,
                360,
                color,
                -1,
                cv2.LINE_AA,
            )
        else:
            end = at + rng.normal(0, 0.5, 2) * width
            cv2.line(
                image,
                tuple(at.astype(int).tolist()),
                tuple(end.astype(int).tolist()),
                color,
                int(rng.integers(1, 1 + max(2, width // 24))),
                cv2.LINE_AA,
            )
    return image


def draw_background(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a background (height, width, 3) uint8: photographs, rooms of shapes, clouds of color, or two of them."""

    def one() -> np.ndarray:
        kind = rng.uniform()
        if kind < 0.45:
            pictures = _photographs()
            return _window(pictures[rng.integers(len(pictures))], width, height, rng)
        if kind < 0.8:
            return _room(width, height, rng)
        return cv2.resize(clouds(max(width, height), rng), (width, height))

    image = one().astype(np.float32)
    if rng.uniform() < 0.3:
        share = cv2.resize(clouds(16, rng)[..., :1], (width, height)).reshape(height, width, 1) / 255.0
        image += (one() - image) * (share > rng.uniform(0.3, 0.7)) if rng.uniform() < 0.5 else (one() - image) * share
    # Another mood: channels swapped, tinted, darker or lighter.
    gain = saturation_matrix(rng.uniform(0, 1.4), np.eye(3))
    mix = gain * (rng.uniform(0.35, 1.25) * (1 + rng.normal(0, 0.08, 3)))[:, None]
    mix = mix[:, rng.permutation(3)] if rng.uniform() < 0.5 else mix
    image = cv2.transform(image, np.column_stack([mix, np.full(3, rng.normal(0, 12))]))
    if rng.uniform() < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), np.exp(rng.uniform(-1.5, 1.6)) * width / 128)
    return np.clip(image, 0, 255).astype(np.uint8)


class BackgroundCache:
    """Backgrounds that are drawn once, cached for a while, and cut anew each time: drawing one takes a millisecond.

    Args:
        count: cached at a time.
        size: pixels along a side of what is cut.
        uses: how often one is cut, on average, before another takes its place.

    """

    #: How much larger than what is cut they are.
    ROOM = 1.5

    def __init__(self, count: int, size: int, uses: int = 16) -> None:
        self.count, self.size, self.uses = count, size, uses
        self._cached: list[np.ndarray] = []

    def draw(self, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
        """Cut a background (height, width, 3) uint8: somewhere, larger or smaller, mirrored at random."""
        room = int(self.ROOM * self.size)
        at = int(rng.integers(self.count))
        if len(self._cached) < self.count:
            at = len(self._cached)
            self._cached.append(draw_background(room, room, rng))
        elif rng.uniform() * self.uses < 1:
            self._cached[at] = draw_background(room, room, rng)
        return _window(self._cached[at], width, height, rng, least=0.6)
