"""Hands and what a camera sees, as a scene in Rerun's viewer: the image, everything in space, and series over time.

Rerun (https://rerun.io) shows it in a window, in a browser without a network, or from a file. The functions are pure,
from arrays to (entity path, archetype) pairs; :class:`Scene` logs them at the images' stamps. The tree of entities:

============================  ========================================================================
``camera``                    the pinhole; the root of the tree is its optical frame, in meters
``camera/picture``            the image, depth shaded as everywhere else in this package
``camera/hands/<side>/...``   skeletons in the image's pixels, and gestures' names
``cloud``                     the depth image as points
``hands/<side>/...``          skeleton, joints, axes and mesh in space; ``confidence`` and ``gap``, series
``latency``                   a series
============================  ========================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from hand_pose_ros.core.hand import Hand
from hand_pose_ros.core.outputs import JointFrames, Keypoints, Meshes, Output
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import FINGER_JOINTS, JOINTS, SIDES, TIPS, WRIST
from hand_pose_ros.geometry.meshes import vertex_normals
from hand_pose_ros.gestures.recognition import recognize
from hand_pose_ros.imaging.compressed import encode_jpeg
from hand_pose_ros.visualization.drawing import FINGER_COLORS, HOLE_COLOR, SIDE_COLORS, WRIST_COLOR, depth_picture
from hand_pose_ros.visualization.drawing import STYLE as DRAWING_STYLE

#: Entity paths and what is logged there.
Entities = list[tuple[str, rr.AsComponents]]

APPLICATION = 'hand_pose_ros'
TIMELINE = 'stamp'


@dataclass(frozen=True)
class SceneStyle:
    """Sizes in the scene, and what it does not show."""

    max_cloud_points: int = 25_000  # of a depth image: browsers turn more only slowly
    bone_radius_m: float = 0.0024
    joint_radius_m: float = 0.004
    axis_length_m: float = 0.012
    axis_radius_m: float = 0.0005
    frustum_m: float = 0.06  # distance at which the camera's picture stands in space
    eye_m: tuple[float, float, float] = (0.2, -0.22, -0.4)  # from what is looked at: behind the camera, right, above
    target_m: tuple[float, float, float] = (0.0, 0.0, 0.5)  # what is looked at before there is a hand
    first_date_ns: int = 10**17  # stamps from here on are dates; before, times since a recording's start
    max_latency_ns: int = 10 * 10**9  # what arrives later is an old recording's, not latency


STYLE = SceneStyle()

_THUMB_TIP, _INDEX_TIP = TIPS[:2]
_AXIS_COLORS = np.array([(235, 75, 75), (95, 205, 95), (90, 130, 245)], np.uint8)  # x, y, z, as everywhere


def rgb(bgr: Sequence[int]) -> tuple[int, ...]:
    """Turn a color of this package, in OpenCV's order, into one of Rerun's."""
    return tuple(bgr[::-1])


#: Of each joint, and of each chain from the wrist to a tip.
JOINT_COLORS = np.array(
    [rgb(WRIST_COLOR), *(rgb(FINGER_COLORS[finger]) for finger in FINGER_JOINTS for _ in range(4))], np.uint8
)
CHAINS = np.array([(WRIST, *joints) for joints in FINGER_JOINTS.values()])
CHAIN_COLORS = np.array([rgb(FINGER_COLORS[finger]) for finger in FINGER_JOINTS], np.uint8)


def static_entities() -> Entities:
    """What never changes: the directions of the axes, and the series' names and colors."""
    entities: Entities = [
        ('/', rr.ViewCoordinates.RDF),
        ('latency', rr.SeriesLines(colors=(225, 190, 90), names='latency', widths=1.5)),
    ]
    for side in SIDES:
        entities += [
            (f'hands/{side}/{series}', rr.SeriesLines(colors=rgb(SIDE_COLORS[side]), names=side, widths=1.5))
            for series in ('confidence', 'gap')
        ]
    return entities


def camera_entities(camera: Camera) -> Entities:
    """A camera, at the origin of everything."""
    return [
        (
            'camera',
            rr.Pinhole(
                image_from_camera=camera.matrix,
                resolution=[camera.width, camera.height],
                camera_xyz=rr.ViewCoordinates.RDF,
                image_plane_distance=STYLE.frustum_m,
            ),
        )
    ]


def image_entities(image: np.ndarray, camera: Camera) -> Entities:
    """An image, and depth as points too.

    Args:
        image: (H, W) depth in meters, 0 for holes, or (H, W, 3) uint8 in bgr order.
        camera: of the image's size.

    """
    picture = depth_picture(image, camera) if image.ndim == 2 else image
    entities: Entities = [('camera/picture', rr.EncodedImage(contents=encode_jpeg(picture), media_type='image/jpeg'))]
    if image.ndim == 2:
        points, colors = cloud(image, picture, camera)
        entities.append(('cloud', rr.Points3D(points, colors=colors, radii=rr.Radius.ui_points(1.4))))
    return entities


def cloud(depth: np.ndarray, picture: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return points (N, 3) of a depth image in meters and their colors (N, 3), rgb, from its bgr picture.

    Of rows and columns only every so many are taken, for at most ``SceneStyle.max_cloud_points``.
    """
    step = int(np.ceil(np.sqrt(depth.size / STYLE.max_cloud_points)))
    rows, columns = np.mgrid[0 : depth.shape[0] : step, 0 : depth.shape[1] : step]
    measured = depth[rows, columns] > 0
    rows, columns = rows[measured], columns[measured]
    points = camera.unproject(np.stack([columns, rows], axis=-1), depth[rows, columns])
    return points.astype(np.float32), picture[rows, columns][:, ::-1]


def joints_entities(side: str, joints: np.ndarray, confidence: np.ndarray, camera: Camera | None) -> Entities:
    """A hand's skeleton, in space and in the image, its gesture, confidence, and the gap of thumb and index finger.

    Args:
        side: of the hand.
        joints: (21, 3) meters, camera optical frame.
        confidence: (21,).
        camera: that took the image; None where it is not known yet.

    """
    place = f'hands/{side}'
    colors = np.where((confidence < DRAWING_STYLE.min_confidence)[:, None], JOINT_COLORS // 3, JOINT_COLORS)
    gap = 1000 * float(np.linalg.norm(joints[_THUMB_TIP] - joints[_INDEX_TIP]))
    entities: Entities = [
        (f'{place}/skeleton', rr.LineStrips3D(joints[CHAINS], colors=CHAIN_COLORS, radii=STYLE.bone_radius_m)),
        (
            f'{place}/joints',
            rr.Points3D(joints, colors=colors, radii=STYLE.joint_radius_m, labels=JOINTS, show_labels=False),
        ),
        (f'{place}/confidence', rr.Scalars(float(confidence.mean()))),
        (f'{place}/gap', rr.Scalars(gap)),
    ]
    if camera is not None and (joints[:, 2] > 1e-3).all():
        pixels = camera.project(joints) + 0.5  # Rerun's pixels have their centers at halves.
        entities += [
            (
                f'camera/{place}/skeleton',
                rr.LineStrips2D(pixels[CHAINS], colors=CHAIN_COLORS, radii=rr.Radius.ui_points(1.8)),
            ),
            (
                f'camera/{place}/joints',
                rr.Points2D(pixels, colors=colors, radii=rr.Radius.ui_points(3.0), labels=JOINTS, show_labels=False),
            ),
            (
                f'camera/{place}/gesture',
                rr.Points2D(
                    pixels[:1],
                    radii=rr.Radius.ui_points(0.0),
                    show_labels=True,
                    colors=rgb(SIDE_COLORS[side]),
                    labels=recognize(joints, side, confidence=confidence).name,
                ),
            ),
        ]
    return entities


def frames_entities(side: str, positions: np.ndarray, rotations: np.ndarray) -> Entities:
    """The axes of every joint, x red, y green, z blue: positions (21, 3) in meters, rotations (21, 3, 3)."""
    vectors = STYLE.axis_length_m * rotations.transpose(0, 2, 1).reshape(-1, 3)
    return [
        (
            f'hands/{side}/axes',
            rr.Arrows3D(
                origins=np.repeat(positions, 3, axis=0),
                vectors=vectors,
                colors=np.tile(_AXIS_COLORS, (len(positions), 1)),
                radii=STYLE.axis_radius_m,
            ),
        )
    ]


def mesh_entities(side: str, vertices: np.ndarray, faces: np.ndarray) -> Entities:
    """A hand's mesh of vertices (V, 3) in meters and faces (F, 3); the skeleton shines through."""
    return [
        (
            f'hands/{side}/mesh',
            rr.Mesh3D(
                vertex_positions=vertices,
                triangle_indices=faces,
                vertex_normals=vertex_normals(vertices, faces),
                albedo_factor=(*rgb(SIDE_COLORS[side]), 110),
            ),
        )
    ]


def absent_entities(side: str) -> Entities:
    """What takes a hand out of the scene; its series get a gap."""
    return [(f'{base}hands/{side}', rr.Clear(recursive=True)) for base in ('', 'camera/')]


def latency_entities(seconds: float) -> Entities:
    """What a frame took."""
    return [('latency', rr.Scalars(1000 * seconds))]


def hands_entities(hands: Sequence[Hand], camera: Camera | None) -> Entities:
    """All that the tracker knows of a frame's hands, and that the others are gone."""
    best = {hand.side: hand for hand in sorted(hands, key=lambda hand: hand.score)}
    entities: Entities = []
    for side in SIDES:
        hand = best.get(side)
        if hand is None:
            entities += absent_entities(side)
            continue
        entities += joints_entities(side, hand.joints, hand.confidence, camera)
        if hand.fit is not None:
            entities += frames_entities(side, hand.joints, hand.fit.rotations)
            if hand.fit.vertices is not None and hand.fit.faces is not None:
                entities += mesh_entities(side, hand.fit.vertices, hand.fit.faces)
    return entities


def output_entities(output: Output, camera: Camera | None) -> Entities:
    """What one of the tracker's messages says."""
    if isinstance(output, JointFrames):
        return frames_entities(output.side, output.positions, output.rotations)
    if isinstance(output, Meshes):
        return [entity for side, mesh in output.hands.items() for entity in mesh_entities(side, *mesh)]
    return [
        entity
        for side in SIDES
        for entity in (
            joints_entities(side, *output.hands[side], camera) if side in output.hands else absent_entities(side)
        )
    ]


def blueprint(live: bool, target: Sequence[float] = STYLE.target_m) -> rrb.Blueprint:
    """The layout: the image above the series, beside the scene in space.

    Args:
        live: follow what comes; else play it from the beginning, again and again.
        target: (3,) what the scene is looked at around, meters.

    """
    series = rrb.Horizontal(
        rrb.TimeSeriesView(name='Latency (ms)', contents='/latency', plot_legend=rrb.PlotLegend(visible=False)),
        rrb.TimeSeriesView(
            name='Confidence',
            contents=[f'/hands/{side}/confidence' for side in SIDES],
            axis_y=rrb.ScalarAxis(range=(0.0, 1.0)),
        ),
        rrb.TimeSeriesView(name='Thumb to index (mm)', contents=[f'/hands/{side}/gap' for side in SIDES]),
    )
    image = rrb.Spatial2DView(name='Camera', origin='/camera', contents='/camera/**')
    space = rrb.Spatial3DView(
        name='In space',
        origin='/',
        contents=['+ /**', '- /camera/**', '+ /camera'],
        background=rgb(HOLE_COLOR),
        line_grid=False,
        eye_controls=rrb.EyeControls3D(
            position=np.add(target, STYLE.eye_m), look_target=target, eye_up=(0.0, -1.0, 0.0)
        ),
    )
    return rrb.Blueprint(
        rrb.Horizontal(rrb.Vertical(image, series, row_shares=[5, 2]), space, column_shares=[1, 1]),
        rrb.BlueprintPanel(state='collapsed'),
        rrb.SelectionPanel(state='collapsed'),
        rrb.TimePanel(
            state='collapsed',
            timeline=TIMELINE,
            play_state='following' if live else 'playing',
            loop_mode='off' if live else 'all',
        ),
    )


class Scene:
    """Logs what is known of images, each at its stamp, into a Rerun recording."""

    def __init__(self, stream: rr.RecordingStream, live: bool = False) -> None:
        """Send the layout; ``live`` as :func:`blueprint` says."""
        self._stream, self._live = stream, live
        self._camera: Camera | None = None
        self._aimed = False
        stream.set_log_time_enabled(False)  # The stamps' timeline is the one that means something.
        stream.set_log_tick_enabled(False)
        for path, entity in static_entities():
            stream.log(path, entity, static=True)
        stream.send_blueprint(blueprint(live))

    def image(self, nanoseconds: int, image: np.ndarray, camera: Camera) -> None:
        """Show an image, as :func:`image_entities` takes it."""
        known, self._camera = self._camera, camera
        self._log(nanoseconds, ([] if camera == known else camera_entities(camera)) + image_entities(image, camera))

    def hands(self, nanoseconds: int, hands: Sequence[Hand], seconds: float) -> None:
        """Show the hands that were found in an image, and the time that it took."""
        self._aim([hand.joints for hand in hands])
        self._log(nanoseconds, hands_entities(hands, self._camera) + latency_entities(seconds))

    def output(self, nanoseconds: int, arrived: int, output: Output) -> None:
        """Show what a message of the tracker says; it arrived (nanoseconds) so long after its image's stamp."""
        entities = output_entities(output, self._camera)
        if isinstance(output, Keypoints):
            self._aim([joints for joints, _ in output.hands.values()])
            if output.hands and 0 < arrived - nanoseconds < STYLE.max_latency_ns:
                entities += latency_entities(1e-9 * (arrived - nanoseconds))
        self._log(nanoseconds, entities)

    def _aim(self, hands: Sequence[np.ndarray]) -> None:
        """Look at the first hands that are seen; from then on people turn the scene themselves."""
        if hands and not self._aimed:
            self._aimed = True
            self._stream.send_blueprint(blueprint(self._live, np.mean(hands, axis=(0, 1))))

    def _log(self, nanoseconds: int, entities: Entities) -> None:
        if nanoseconds < STYLE.first_date_ns:
            self._stream.set_time(TIMELINE, duration=np.timedelta64(nanoseconds, 'ns'))
        else:
            self._stream.set_time(TIMELINE, timestamp=np.datetime64(nanoseconds, 'ns'))
        for path, entity in entities:
            self._stream.log(path, entity)
