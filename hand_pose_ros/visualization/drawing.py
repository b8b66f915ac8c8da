"""Pictures of depth images and hands: what the overlay topic, ``track``, the demo and the README show.

Everything here returns (H, W, 3) uint8 arrays in bgr order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.core.hand import Hand, HandFit
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import BONES, FINGER_JOINTS, FINGERS, TIPS, WRIST
from hand_pose_ros.geometry.meshes import face_normals, vertex_normals
from hand_pose_ros.gestures.library import NONE
from hand_pose_ros.gestures.recognition import recognize

#: bgr color of each finger, thumb first.
FINGER_COLORS = dict(zip(FINGERS, ((92, 92, 255), (40, 176, 255), (128, 214, 70), (255, 186, 50), (255, 122, 190))))
WRIST_COLOR = (235, 235, 235)
#: Of what a depth image does not know.
HOLE_COLOR = (30, 22, 20)
SIDE_COLORS = {'left': (214, 160, 60), 'right': (70, 130, 235)}

_JOINT_COLORS = [WRIST_COLOR] + [FINGER_COLORS[finger] for finger, joints in FINGER_JOINTS.items() for _ in joints]
_OUTLINE = (24, 18, 16)
_MESH = np.array([172, 194, 230], np.float32)
# Towards a key light at the upper left behind the camera, and a fill light at the right.
_LIGHTS = np.array([[-0.38, -0.48, -0.79], [0.85, 0.30, -0.43]], np.float32)

# Near to far, from paper white over blue gray to night: muted, so that the fingers' colors stand out.
_RAMP_STOPS = np.array([[214, 226, 232], [180, 192, 192], [146, 140, 120], [112, 92, 68], [82, 60, 46], [62, 46, 37]])
_RAMP = np.stack(
    [
        np.interp(np.linspace(0, 1, 256) ** 0.7, np.linspace(0, 1, len(_RAMP_STOPS)), _RAMP_STOPS[:, c])
        for c in range(3)
    ],
    axis=-1,
).astype(np.float32)

#: Fractional bits of the coordinates that OpenCV draws at.
_SUBPIXEL = 4


@dataclass(frozen=True)
class DrawingStyle:
    """Sizes and thresholds of pictures."""

    depth_range_m: float = 1.3  # from the nearest surface to the end of the ramp of grays
    min_confidence: float = 0.3  # joints below are drawn hollow
    palm_lines: float = 25.0  # a bone's line is so many times thinner than the palm is long: a third of a finger
    min_line_px: float = 1.2
    max_line_px: float = 6.0  # times the picture's scale
    mesh_opacity: float = 0.65  # over an image


STYLE = DrawingStyle()


def depth_picture(depth: np.ndarray, camera: Camera | None = None) -> np.ndarray:
    """Draw a depth image: bright where near, shaded as if lit from the upper left, holes dark.

    Args:
        depth: (H, W) float meters; 0 and NaN are holes.
        camera: makes the shading true to scale; without it, a view of 60 degrees is assumed.

    """
    depth = np.where(np.isfinite(depth), depth, 0).astype(np.float32)
    sample = depth[::4, ::4]
    sample = sample[sample > 0]
    if not sample.size:
        return np.full((*depth.shape, 3), HOLE_COLOR, np.uint8)
    near = float(np.percentile(sample, 1))
    position = cv2.convertScaleAbs(np.maximum(depth - near, 0), alpha=255 / STYLE.depth_range_m)
    shade = _hillshade(depth, camera.fx if camera else 0.87 * depth.shape[1])
    picture = cv2.multiply(_RAMP[position], cv2.merge([shade] * 3), dtype=cv2.CV_8U)
    picture[depth <= 0] = HOLE_COLOR
    return picture


def _hillshade(depth: np.ndarray, focal: float) -> np.ndarray:
    """Light each pixel by its surface's slope: about 1 where it faces the camera, (H, W) float32."""
    smooth = cv2.GaussianBlur(cv2.medianBlur(depth, 5), (0, 0), max(1.0, depth.shape[1] / 640))
    scale = focal / 8 / np.maximum(smooth, 0.1)  # Sobel's kernel sums to 8 a pixel.
    slope_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) * scale
    slope_y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1) * scale
    steep = slope_x * slope_x + slope_y * slope_y
    surface = 1 / (1 + steep * steep / 300)  # A jump from one surface to another is no slope: it stays unlit.
    light = (0.80 + surface * (0.36 * slope_x + 0.48 * slope_y)) / np.sqrt(1 + surface * steep)
    return np.clip(0.34 + 0.70 * light, 0.28, 1.12)


def draw_overlay(
    image: np.ndarray, hands: Sequence[Hand], camera: Camera, *, scale: int = 1, mesh: bool = False
) -> np.ndarray:
    """Draw hands over the image that they were found in.

    Args:
        image: (H, W) depth in meters or (H, W, 3) bgr8.
        hands: joints in the frame of ``camera``.
        camera: the camera that took the image.
        scale: whole-number enlargement of the picture, for crisp lines on small images.
        mesh: also draw each hand's mesh, where it has one.

    """
    picture = image.copy() if image.ndim == 3 else depth_picture(image, camera)
    if scale > 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    for hand in sorted(hands, key=lambda h: -float(np.mean(h.joints[:, 2]))):
        if mesh and hand.fit is not None:
            draw_mesh(picture, hand.fit, camera, scale=scale, opacity=STYLE.mesh_opacity)
        draw_skeleton(picture, hand, camera, scale=scale)
    boxes: list[tuple[int, int, int, int]] = []
    for hand in hands:
        _draw_label(picture, hand, camera, scale, boxes)
    return picture


def draw_skeleton(picture: np.ndarray, hand: Hand, camera: Camera, *, scale: int = 1) -> None:
    """Draw the bones of a hand into ``picture``, the far ones first; joints of low confidence are hollow."""
    pixels = _project(hand.joints, camera, scale)
    if pixels is None:
        return
    # The same whatever the pose, and readable on any image.
    palm = np.linalg.norm(hand.joints[FINGER_JOINTS['middle'][0]] - hand.joints[WRIST])
    length = palm * camera.fx * scale / hand.joints[:, 2].mean()
    width = float(np.clip(length / STYLE.palm_lines, STYLE.min_line_px, STYLE.max_line_px * scale))
    depths = hand.joints[:, 2]
    # A joint lies on top of its bones, unless they come towards the camera.
    parts = [(depths[joint] - 0.012, joint, -1) for joint in range(len(depths))]
    parts += [(depths[[parent, child]].mean(), parent, child) for parent, child in BONES]
    for _, joint, child in sorted(parts, reverse=True):
        if child >= 0:
            _line(picture, pixels[joint], pixels[child], _OUTLINE, width * 1.7)
            _line(picture, pixels[joint], pixels[child], _JOINT_COLORS[child], width)
        else:
            radius = width * (1.3 if joint == WRIST or joint in TIPS else 1.05)
            _joint(picture, pixels[joint], _JOINT_COLORS[joint], radius, hand.confidence[joint] >= STYLE.min_confidence)


def draw_mesh(picture: np.ndarray, fit: HandFit, camera: Camera, *, scale: int = 1, opacity: float = 1.0) -> None:
    """Draw the posed hand model into ``picture``, shaded by a light at the camera's upper left."""
    if fit.vertices is None or fit.faces is None:
        return
    pixels = _project(fit.vertices, camera, scale)
    if pixels is None:
        return
    vertices, faces = np.asarray(fit.vertices, float), np.asarray(fit.faces)
    low = np.clip(np.floor(pixels.min(0)).astype(int) - 1, 0, (picture.shape[1], picture.shape[0]))
    high = np.clip(np.ceil(pixels.max(0)).astype(int) + 2, 0, (picture.shape[1], picture.shape[0]))
    if (high <= low).any():
        return
    centers = vertices[faces].mean(1)
    visible = np.flatnonzero((face_normals(vertices, faces) * centers).sum(1) < 0)
    visible = visible[np.argsort(-centers[visible, 2])]

    # Far to near, each pixel learns its face; shading follows for all pixels at once. Twice as large, and averaged
    # at the end: OpenCV's own smoothing would leave seams between triangles.
    part = picture[low[1] : high[1], low[0] : high[0]]
    canvas = cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    points = (pixels - low + 0.5) * 2 - 0.5
    polygons = np.rint(points[faces[visible]] * 2**_SUBPIXEL).astype(np.int32)
    drawn_as = np.full(canvas.shape[:2], -1, np.float32)
    for number, polygon in enumerate(polygons):
        cv2.fillConvexPoly(drawn_as, polygon, number, cv2.LINE_8, _SUBPIXEL)
    rows, columns = np.nonzero(drawn_as >= 0)
    base, slopes = _interpolation(points[faces[visible]], vertex_normals(vertices, faces)[faces[visible]])
    face = drawn_as[rows, columns].astype(np.intp)
    normals = (
        base[face]
        + slopes[face, 0] * columns[:, None].astype(np.float32)
        + slopes[face, 1] * rows[:, None].astype(np.float32)
    )
    canvas[rows, columns] = _lit(normals)
    drawn = cv2.resize(canvas, part.shape[1::-1], interpolation=cv2.INTER_AREA)
    part[:] = cv2.addWeighted(drawn, opacity, part, 1 - opacity, 0)


def _interpolation(triangles: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write what varies over triangles as ``base + slopes[0] * x + slopes[1] * y``.

    Args:
        triangles: (N, 3, 2) corners.
        values: (N, 3, C) at the corners.

    Returns:
        base (N, C) and slopes (N, 2, C), float32; slopes are 0 where a triangle is too thin.

    """
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    inverse = np.where(np.abs(area) > 0.5, 1 / np.where(area == 0, 1, area), 0)[:, None]
    along_a, along_b = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    slope_x = (along_a * b[:, 1:] - along_b * a[:, 1:]) * inverse
    slope_y = (along_b * a[:, :1] - along_a * b[:, :1]) * inverse
    base = values[:, 0] - slope_x * triangles[:, 0, :1] - slope_y * triangles[:, 0, 1:]
    return base.astype(np.float32), np.stack([slope_x, slope_y], axis=1).astype(np.float32)


def _lit(normals: np.ndarray) -> np.ndarray:
    """Color (N, 3) of surfaces with these float32 normals: a key light, a fill light and a bright rim."""
    x, y, z = normals.T
    shrink = 1 / np.sqrt(x * x + y * y + z * z + np.float32(1e-6))
    key, fill = np.clip(_LIGHTS @ normals.T * shrink, 0, 1)
    rim = 1 - np.clip(-z * shrink, 0, 1)
    shade = np.float32(0.30) + np.float32(0.68) * key + np.float32(0.18) * fill
    return np.clip(shade[:, None] * _MESH + (np.float32(34) * rim * rim * rim)[:, None], 0, 255).astype(np.uint8)


def side_by_side(depth: np.ndarray, hands: Sequence[Hand], camera: Camera, *, scale: int = 1) -> np.ndarray:
    """Draw the depth image with skeletons on the left, and the hand meshes alone on the right.

    Returns:
        (H * scale, 2 * W * scale, 3) bgr8.

    """
    left = draw_overlay(depth, hands, camera, scale=scale)
    height, width = left.shape[:2]
    fade = np.linspace(58, 26, height)[:, None, None] * (1.06, 0.98, 0.94)
    right = np.broadcast_to(fade, (height, width, 3)).astype(np.uint8)
    for hand in sorted(hands, key=lambda h: -float(np.mean(h.joints[:, 2]))):
        if hand.fit is not None:
            draw_mesh(right, hand.fit, camera, scale=scale)
    return np.concatenate([left, right], axis=1)


def _project(points: np.ndarray, camera: Camera, scale: int) -> np.ndarray | None:
    """Pixels (N, 2) in the enlarged picture; None where a point is not in front of the camera."""
    points = np.asarray(points, float)
    if not (np.isfinite(points).all() and (points[:, 2] > 1e-3).all()):
        return None
    # Far outside the picture OpenCV's fixed-point coordinates would overflow.
    return np.clip((camera.project(points) + 0.5) * scale - 0.5, -1e5, 1e5)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    x, y = np.rint(point * 2**_SUBPIXEL).astype(int).tolist()
    return x, y


def _line(picture: np.ndarray, start: np.ndarray, end: np.ndarray, color: tuple[int, int, int], width: float) -> None:
    cv2.line(picture, _fixed(start), _fixed(end), color, max(1, round(width)), cv2.LINE_AA, _SUBPIXEL)


def _joint(picture: np.ndarray, at: np.ndarray, color: tuple[int, int, int], radius: float, filled: bool) -> None:
    def disc(size: float, fill: tuple[int, int, int]) -> None:
        cv2.circle(picture, _fixed(at), max(1, round(size * 2**_SUBPIXEL)), fill, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL)

    disc(radius * 1.45, _OUTLINE)
    disc(radius * 1.1, color)
    if not filled:
        disc(radius * 0.6, _OUTLINE)


def _draw_label(
    picture: np.ndarray, hand: Hand, camera: Camera, scale: int, taken: list[tuple[int, int, int, int]]
) -> None:
    """Write side and score beside the wrist: away from the fingers, inside the picture, clear of ``taken`` boxes."""
    pixels = _project(hand.joints, camera, scale)
    if pixels is None:
        return
    height, width = picture.shape[:2]
    gesture = recognize(hand.joints, hand.side, confidence=hand.confidence).name
    text = f'{hand.side} {hand.score:.2f}' + (f' {gesture}' if gesture != NONE else '')
    size = 0.42 * max(scale, min(width, height) / 480)
    (text_width, text_height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    pad = text_height // 2 + 1
    box = np.array([text_width + 2 * pad, text_height + base + pad])
    away = pixels[WRIST] - pixels.mean(0)
    away /= np.linalg.norm(away) + 1e-9
    corner = pixels[WRIST] + away * (np.abs(away) @ box / 2 + 2 * pad) - box / 2
    left, top = (int(v) for v in np.clip(corner, 2, np.maximum(np.array([width, height]) - box - 2, 2)))
    for x0, y0, x1, y1 in taken:
        if left < x1 and left + box[0] > x0 and top < y1 and top + box[1] > y0:
            top = y1 + 2 if y1 + 2 + box[1] <= height else max(y0 - box[1] - 2, 0)
    taken.append((left, top, left + int(box[0]), top + int(box[1])))
    area = picture[top : top + box[1], left : left + box[0]]
    area[:] = area // 4
    area[:, : max(2, pad // 2)] = SIDE_COLORS[hand.side]
    cv2.putText(
        picture,
        text,
        (left + pad + 1, top + box[1] - base - pad // 2 + 1),
        cv2.FONT_HERSHEY_SIMPLEX,
        size,
        (245, 245, 245),
        1,
        cv2.LINE_AA,
    )
