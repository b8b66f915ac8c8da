"""Crops of rendered color pictures for pose networks, drawn without end from a seed: with the errors that localization
makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import JOINTS, WRIST, hand_size
from hand_pose_ros.regions.base import View
from hand_pose_ros.regions.cube import CUBE_PER_HAND
from hand_pose_ros.regions.perspective import CLOSER, PerspectiveRegion, pointing
from training.datasets.color_crops import Example
from training.synthesis.backgrounds import BackgroundCache, draw_background
from training.synthesis.color_scenes import ColorView, before_background, draw_views, styled
from training.synthesis.people import Person
from training.synthesis.photography import augment
from training.synthesis.poses import KINDS

#: Share of all crops but first guesses whose middle is twice as far off.
FARTHER_OFF = 0.2
#: Share of crops that show the hand any way up, its joints not known; in the others it points up, more or less.
ANY_WAY_UP = 0.08
#: Pixels along a side of a view's surfaces and of its background where it is cut on a GPU.
SURFACES, BACKGROUND = 64, 192


class CropErrors(NamedTuple):
    """Errors of crops as localization makes them, standard deviations and limits."""

    center_hand_sizes: float
    size_log: float
    size_log_least: float
    size_log_most: float
    up_degrees: float


#: Of most crops, of a detector's first guesses, and of crops about joints that were found.
OFF = CropErrors(0.1, 0.12, -0.28, 0.28, 20)
ROUGH_OFF = CropErrors(0.3, 0.25, -0.28, 0.6, 20)
FOLLOWED_OFF = CropErrors(0.035, 0.08, -0.28, 0.28, 6)


@dataclass(frozen=True)
class CropShares:
    """Shares of crops that are cut, or whose image is changed, otherwise than most.

    Attributes:
        rough: as far off and as wrong in size as a detector's first guesses.
        followed: of the others than those, cut about a hand whose joints were found, as the tracker does when it looks
            again or follows a hand.
        edges: go on beyond the image's edges, as the run time cuts them: with the pixels there.
        styles: in another style, see :func:`training.synthesis.photography.restyle`.

    """

    rough: float = 0.0
    followed: float = 0.0
    edges: float = 0.0
    styles: float = 0.0


#: Crops that are all cut as most are, and that keep their colors.
PLAIN = CropShares()


def _draw_edges(view: ColorView, rng: np.random.Generator) -> tuple[np.ndarray, Camera]:
    """Draw where an image ends about a hand: what is within, before a background, and its camera."""
    camera = view.camera
    points = (
        camera.project(view.joints)
        if view.joints is not None
        else np.array(
            [
                [camera.cx - camera.width / 4, camera.cy - camera.height / 4],
                [camera.cx + camera.width / 4, camera.cy + camera.height / 4],
            ]
        )
    )
    low, high = points.min(0), points.max(0)
    # From a fifth of the hand cut off to no edge in sight.
    room = (high - low).max() * rng.uniform(-0.2, 1.0, (2, 2))
    low = np.clip(low - room[0], 0, camera.width - 33).astype(int)
    high = np.clip(high + room[1], low + 32, camera.width).astype(int)
    layers = view.layers[low[1] : high[1], low[0] : high[0]]
    height, width = layers.shape[:2]
    image = before_background(layers[..., :3], layers[..., 3:4] / 255, rng)
    return image, Camera(width, height, camera.fx, camera.fy, camera.cx - low[0], camera.cy - low[1])


def draw_color_crop(
    view: ColorView,
    rng: np.random.Generator,
    size: int,
    shares: CropShares = PLAIN,
    background: Callable[..., np.ndarray] = draw_background,
    room: float = 1.0,
) -> Example:
    """Cut a crop out of a view with the errors in place and size that localization makes, before some background.

    Where the view shows no hand, joints, points and size are NaN and the mask is 0.

    Args:
        view: what is seen.
        rng: source of randomness.
        size: pixels along a side of the crop.
        shares: how likely it is to be one of those that are cut or changed otherwise.
        background: draws (height, width, 3) uint8 of width, height and a source of randomness.
        room: how much more than the crop image and mask show, and pixels that they have more, along a side; points and
            the surface are the crop's.

    """
    first = bool(shares.rough) and rng.uniform() < shares.rough
    known = bool(shares.followed) and not first and rng.uniform() < shares.followed
    place, extent, least, most, turn = ROUGH_OFF if first else FOLLOWED_OFF if known else OFF
    if not first and rng.uniform() >= 1 - FARTHER_OFF:  # not below the share: the validation set was drawn so
        place *= 2
    off = rng.normal(0, place, 3) * view.size
    half = CUBE_PER_HAND / CLOSER * view.size * np.exp(np.clip(rng.normal(0, extent), least, most))
    crop = PerspectiveRegion.looking_at(view.center + off * [1, 1, 0], half)
    up = rng.uniform(-np.pi, np.pi)
    if view.joints is not None and (known or rng.uniform() > ANY_WAY_UP):
        points = pointing(crop.project(view.joints))
        up = np.arctan2(points[1], points[0]) + np.radians(rng.normal(0, turn))
    crop = crop.turned_up(np.array([np.cos(up), np.sin(up)]))
    around, pixels = crop.view(View(zoom=1 / room)), round(size * room)
    layers = around.cut(view.layers, view.camera, pixels, black_beyond=True).astype(np.float32)
    if shares.edges and rng.uniform() < shares.edges:
        image = around.cut(*_draw_edges(view, rng), pixels)
    else:
        image = before_background(layers[..., :3], layers[..., 3:4] / 255, rng, background)
    image = augment(styled(image, rng, shares.styles), rng)
    mask = layers[..., 4] / 255
    surface = crop.cut(view.surface, view.camera, size // 8, black_beyond=True)
    if view.joints is None:
        nothing = np.full((len(JOINTS), 3), np.nan)
        return Example(image, nothing, nothing[:, :2], np.zeros_like(mask), np.nan, surface)
    scale = hand_size(view.joints)
    return Example(
        image,
        crop.from_camera(view.joints - view.joints[WRIST]) / scale,
        crop.project(view.joints),
        mask,
        scale,
        surface,
    )


def crop_batches(
    people: Sequence[Person],
    seed: int,
    batch: int,
    size: int = 128,
    crops_per_view: int = 2,
    poses: Mapping[str, float] = KINDS,
    empty: float = 0.15,
    shares: CropShares = PLAIN,
    views: int = 1,
    backgrounds: int = 0,
    as_of: int = 0,
    room: float = 1.0,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield endless batches of crops, as ``training.tasks.color_pose`` describes them.

    Args:
        people: who may be seen.
        seed: the same one gives the same batches.
        batch: crops in a batch.
        size: pixels along a side of a crop.
        crops_per_view: crops cut from one rendered view; more than one is cheaper and less varied.
        poses: kind of pose -> share, see ``training.synthesis.poses``.
        empty: share of views that show no hand.
        shares: of crops that are cut or changed otherwise than most.
        views: rendered views that are cached and that each crop is cut from one of, so that those of one are far apart.
        backgrounds: how many are cached, see :class:`BackgroundCache`; 0 draws one for each crop.
        as_of: show the same hands, cut alike, as crops of this size do; by default crops of another size show others.
        room: see :func:`draw_color_crop`.

    """
    rng = np.random.default_rng(seed)
    source = draw_views(people, rng, poses, empty)
    background = BackgroundCache(backgrounds, size).draw if backgrounds else draw_background
    drawn, rows = [next(source) for _ in range(views)], []
    while True:
        for _ in range(crops_per_view):
            view = drawn[rng.integers(views)]
            own = rng if as_of in (0, size) and room == 1 else deepcopy(rng)
            rows.append(draw_color_crop(view, own, size, shares, background, room).row())
            if own is not rng:  # which goes on as if those crops had been drawn
                draw_color_crop(view, rng, as_of or size, shares, background)
            if len(rows) == batch:
                yield tuple(np.stack(parts) for parts in zip(*rows))
                rows = []
        drawn[rng.integers(views)] = next(source)


def view_batches(
    people: Sequence[Person], seed: int, batch: int, poses: Mapping[str, float] = KINDS, empty: float = 0.15
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield endless batches of views for :func:`training.cut_color.cut`, each with a background for any of them.

    Args:
        people: who may be seen.
        seed: the same one gives the same batches.
        batch: views in a batch.
        poses: kind of pose -> share, see ``training.synthesis.poses``.
        empty: share of views that show no hand.

    Yields:
        Of N views: layers (N, PIXELS, PIXELS, 5) uint8, see :class:`ColorView`; surfaces (N, SURFACES, SURFACES, 5)
        uint8; pinholes (N, 3), focal length, cx and cy; joints (N, 21, 3), NaN where there is no hand; centers (N, 3)
        and sizes (N,) of what crops look at, all in meters and float32; backgrounds (N, BACKGROUND, BACKGROUND, 3)
        uint8.

    """
    rng = np.random.default_rng(seed)
    source = draw_views(people, rng, poses, empty)
    nothing = np.full((len(JOINTS), 3), np.nan)
    while True:
        rows = []
        for view in islice(source, batch):
            rows.append(
                (
                    view.layers,
                    cv2.resize(view.surface, (SURFACES, SURFACES), interpolation=cv2.INTER_AREA),
                    np.float32([view.camera.fx, view.camera.cx, view.camera.cy]),
                    np.float32(nothing if view.joints is None else view.joints),
                    np.float32(view.center),
                    np.float32(view.size),
                    draw_background(BACKGROUND, BACKGROUND, rng),
                )
            )
        yield tuple(np.stack(parts) for parts in zip(*rows))
