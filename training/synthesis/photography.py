"""What a colour camera makes of linear light: exposure, blur, noise, white balance, compression; and backgrounds."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from training.datasets.color_crops import clouds

#: Photographs that come with scikit-image, in the public domain or under CC0 (its data/README.txt).
_PHOTOGRAPHS = ('astronaut.png', 'brick.png', 'chelsea.png', 'coffee.png', 'coins.png', 'grass.png', 'gravel.png',
                'hubble_deep_field.jpg', 'ihc.png', 'motorcycle_left.png', 'motorcycle_right.png', 'rocket.jpg',
                'camera.png', 'page.png')


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
    part = picture[int(top):int(top + max(tall, 2)), int(left):int(left + max(wide, 2))]
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
        colour = tuple(float(c) for c in rng.uniform(5, 250, 3))
        at = rng.uniform(-0.2, 1.2, 2) * (width, height)
        extent = np.exp(rng.uniform(-3.5, -0.5, 2)) * width
        kind = rng.uniform()
        if kind < 0.55:
            corners = cv2.boxPoints((tuple(at.tolist()), tuple((2 * extent).tolist()),
                                     float(rng.normal(0, 6) if rng.uniform() < 0.7 else rng.uniform(0, 180))))
            cv2.fillConvexPoly(image, corners.astype(np.int32), colour, cv2.LINE_AA)
        elif kind < 0.75:
            cv2.ellipse(image, tuple(at.astype(int).tolist()), tuple((extent.astype(int) + 1).tolist()),
                        float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            end = at + rng.normal(0, 0.5, 2) * width
            cv2.line(image, tuple(at.astype(int).tolist()), tuple(end.astype(int).tolist()), colour,
                     int(rng.integers(1, 1 + max(2, width // 24))), cv2.LINE_AA)
    return image


def _saturate(amount: float) -> np.ndarray:
    """Matrix (3, 3) that makes colours more or, below 1, less vivid; 0 makes them grey."""
    return np.full((3, 3), (1 - amount) / 3) + amount * np.eye(3)


def _mix(image: np.ndarray, mix: np.ndarray, plus: np.ndarray | float) -> np.ndarray:
    """Colours of a float32 image, mixed by a matrix (3, 3) from old to new, and something added."""
    return cv2.transform(image, np.column_stack([mix, np.broadcast_to(plus, 3)]))


def draw_background(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a background (height, width, 3) uint8: photographs, rooms of shapes, clouds of colour, or two of them."""
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
    mix = _saturate(rng.uniform(0, 1.4)) * (rng.uniform(0.35, 1.25) * (1 + rng.normal(0, 0.08, 3)))[:, None]
    image = _mix(image, mix[:, rng.permutation(3)] if rng.uniform() < 0.5 else mix, rng.normal(0, 12))
    if rng.uniform() < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), np.exp(rng.uniform(-1.5, 1.6)) * width / 128)
    return np.clip(image, 0, 255).astype(np.uint8)


class KeptBackgrounds:
    """Backgrounds that are drawn once, kept for a while, and cut anew each time: drawing one takes a millisecond.

    Args:
        count: kept at a time.
        size: pixels along a side of what is cut.
        uses: how often one is cut, on average, before another takes its place.

    """

    #: How much larger than what is cut they are.
    ROOM = 1.5

    def __init__(self, count: int, size: int, uses: int = 16) -> None:
        self.count, self.size, self.uses = count, size, uses
        self._kept: list[np.ndarray] = []

    def draw(self, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
        """Cut a background (height, width, 3) uint8: somewhere, larger or smaller, mirrored at random."""
        room = int(self.ROOM * self.size)
        at = int(rng.integers(self.count))
        if len(self._kept) < self.count:
            at = len(self._kept)
            self._kept.append(draw_background(room, room, rng))
        elif rng.uniform() * self.uses < 1:
            self._kept[at] = draw_background(room, room, rng)
        return _window(self._kept[at], width, height, rng, least=0.6)


def develop(linear: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Expose linear light to an image.

    Args:
        linear: (H, W, 3) light.
        share: (H, W) how much of a pixel shows it; the exposure goes by these.
        rng: source of the exposure, white balance and contrast.

    Returns:
        (H, W, 3) float32, 0 to 255, where ``share`` is 0 meaningless.

    """
    sample = linear[::5, ::5][share[::5, ::5] > 0.5]
    bright = np.quantile(sample, 0.8) if len(sample) else 1.0
    # Between the light's own brightness and one that makes this the middle of the picture.
    gain = (rng.uniform(0.25, 1.0) / max(bright, 1e-3)) ** rng.uniform(0.3, 1)
    image = linear * (gain * (1 + rng.normal(0, 0.06, 3))).astype(np.float32)
    levels = np.linspace(0, 1, 2048, dtype=np.float32)
    if rng.uniform() < 0.5:
        levels = levels * (1 + 0.15 * levels) / (1 + 0.15)  # a film's foot
    curve = 255 * levels ** (1 / rng.uniform(1.8, 2.6))
    return curve.astype(np.float32)[(np.clip(image, 0, 1) * np.float32(2047)).astype(np.int16)]


def restyle(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change what surfaces and colours look like and leave shapes: (H, W, 3) uint8 to the same.

    A random convolution, mixed with the image at random (Xu et al., "Robust and Generalizable Visual Representation
    Learning via Random Convolutions", ICLR 2021); here colours are mixed first, and one kernel serves all three.
    """
    before = image.astype(np.float32)
    size = int(rng.choice([1, 3, 5]))
    after = cv2.filter2D(_mix(before, rng.normal(0, 1, (3, 3)), 0.0), -1, rng.normal(0, 1, (size, size)))
    (mean, deviation), (goal, wanted) = (cv2.meanStdDev(picture) for picture in (after, before))
    gain = (wanted / np.maximum(deviation, 1e-3)).ravel()
    after = _mix(after, np.diag(gain), goal.ravel() - gain * mean.ravel())
    return np.clip(before + rng.uniform() * (after - before), 0, 255).astype(np.uint8)


def spoil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur, noise, colours and compression of a camera: (H, W, 3) uint8 to the same."""
    height, width = image.shape[:2]
    image = image.astype(np.float32)
    if rng.uniform() < 0.35:
        factor = rng.uniform(0.3, 0.9)
        small = cv2.resize(image, (max(16, int(width * factor)), max(16, int(height * factor))),
                           interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.uniform() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6))
    if rng.uniform() < 0.15:
        length = int(rng.integers(3, 9))
        kernel = np.zeros((length, length), np.float32)
        way = rng.uniform(0, np.pi)
        middle = (length - 1) / 2
        reach = np.array([np.cos(way), np.sin(way)]) * middle
        cv2.line(kernel, tuple((middle - reach).round().astype(int).tolist()),
                 tuple((middle + reach).round().astype(int).tolist()), 1)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if rng.uniform() < 0.15:
        image = image + (image - cv2.GaussianBlur(image, (0, 0), 1.2)) * rng.uniform(0.3, 1.5)
    contrast, white = np.exp(rng.normal(0, 0.15)), 1 + rng.normal(0, 0.05, 3)
    mix = _saturate(0.0 if rng.uniform() < 0.04 else np.exp(rng.normal(0, 0.2))) * white[:, None]
    image = _mix(image, contrast * mix, (128 * (1 - contrast) + rng.normal(0, 10)) * white)
    image += np.float32(rng.exponential(3.5)) * rng.standard_normal(image.shape, np.float32)
    image = np.clip(image, 0, 255).astype(np.uint8)
    if rng.uniform() < 0.4:
        data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 96))])[1]
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return image
