"""Hands and what a camera sees, as a Rerun scene: picture with skeletons, everything in 3D, and curves over time.

Rerun (https://rerun.io) shows them in a window, in a browser without a network, or from a file. It is an extra: ``pip
install rerun-sdk``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hand_pose_ros.drawing import FINGER_COLORS, SIDE_COLORS, WRIST_COLOR
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import FINGER_JOINTS, JOINTS, SIDES, TIPS, WRIST
from hand_pose_ros.pipeline.hand import Hand, HandFit

if TYPE_CHECKING:
    import rerun

APPLICATION = 'hand_pose_ros'
TIMELINE = 'stamp'
#: Stamps beyond this are dates, seconds since 1970.
DATED = 1e8
#: Metres.
BONE_RADIUS, JOINT_RADIUS, AXIS_LENGTH = 0.0025, 0.0042, 0.015
_THUMB_TIP, _INDEX_TIP = TIPS[:2]
#: Where the scene's parts are.
CAMERA, HANDS, PLOTS = 'camera', 'hands', 'plots'
GAP, CONFIDENCE = f'{PLOTS}/gap', f'{PLOTS}/confidence'


class ViewError(RuntimeError):
    """Rerun is not there or cannot be used; one line that says what to do."""


def load_rerun():
    """Import Rerun; raises ViewError with the remedy where it is not installed."""
    try:
        import rerun
    except ImportError as error:
        raise ViewError(f'hand-pose view shows things with Rerun, which is not installed here ({error}): '
                        'pip install rerun-sdk') from error
    return rerun


def rgb(bgr: Sequence[int]) -> tuple[int, ...]:
    """Colours are declared in OpenCV's order."""
    return tuple(bgr[::-1])


#: Red, green, blue of each joint, and of each chain from the wrist to a tip.
JOINT_COLORS = np.array([rgb(WRIST_COLOR), *(rgb(FINGER_COLORS[finger]) for finger in FINGER_JOINTS for _ in range(4))])
CHAINS = [(WRIST, *joints) for joints in FINGER_JOINTS.values()]
CHAIN_COLORS = np.array([rgb(FINGER_COLORS[finger]) for finger in FINGER_JOINTS])


def blueprint():
    """Lay out the viewer: the camera's picture and the scene in 3D side by side, curves below."""
    import rerun.blueprint as layout
    # Meshes would cover the picture.
    picture = layout.Spatial2DView(origin=CAMERA, name='camera', contents=[
        '$origin/**', *(f'/{HANDS}/{side}/{part}' for side in SIDES for part in ('skeleton', 'joints'))])
    # From behind and above the camera, where a person would stand.
    scene = layout.Spatial3DView(origin='/', name='3D', contents=['/**'], line_grid=False, eye_controls=layout.EyeControls3D(
        position=(-0.22, -0.22, -0.05), look_target=(0.02, 0.05, 0.5), eye_up=(0, -1, 0)))
    return layout.Blueprint(
        layout.Vertical(layout.Horizontal(picture, scene),
                        layout.Horizontal(layout.TimeSeriesView(origin=GAP, name='thumb to index, mm'),
                                          layout.TimeSeriesView(origin=CONFIDENCE, name='confidence')),
                        row_shares=[3, 1]),
        layout.BlueprintPanel(state='collapsed'), layout.SelectionPanel(state='collapsed'),
        layout.TimePanel(state='collapsed'))


class Scene:
    """Logs frames into a Rerun recording.

    Args:
        stream: the recording.

    """

    def __init__(self, stream: rerun.RecordingStream) -> None:
        self._rerun = load_rerun()
        self._stream = stream
        self._camera: Camera | None = None
        stream.log('/', self._rerun.ViewCoordinates.RDF, static=True)
        for side, color in SIDE_COLORS.items():
            for curve in (GAP, CONFIDENCE):
                stream.log(f'{curve}/{side}', self._rerun.SeriesLines(colors=rgb(color), names=side), static=True)
        stream.send_blueprint(blueprint())

    def show(self, seconds: float, picture: np.ndarray | None, camera: Camera | None, hands: Sequence[Hand]) -> None:
        """Log one frame.

        Args:
            seconds: its stamp.
            picture: (H, W) depth in metres, or (H, W, 3) uint8 in bgr order; None where there is none.
            camera: that took it.
            hands: in it, in the camera's frame.

        """
        rerun, stream = self._rerun, self._stream
        self._at(seconds)
        if camera is not None and camera != self._camera:
            self._camera = camera
            stream.log(CAMERA, rerun.Pinhole(image_from_camera=camera.matrix, resolution=[camera.width, camera.height],
                                             camera_xyz=rerun.ViewCoordinates.RDF, image_plane_distance=0.06))
        if picture is not None:
            stream.log(f'{CAMERA}/image', rerun.DepthImage(np.ascontiguousarray(picture, np.float32), meter=1.0, colormap='Viridis',
                                                                 depth_range=(0.2, 1.2))
                       if picture.ndim == 2 else rerun.Image(picture, 'BGR').compress(jpeg_quality=85))
        seen = {hand.side: hand for hand in hands}
        for side in SIDES:
            if side in seen:
                self._hand(seen[side])
            else:
                stream.log(f'{HANDS}/{side}', rerun.Clear(recursive=True))

    def _hand(self, hand: Hand) -> None:
        rerun, stream, place = self._rerun, self._stream, f'{HANDS}/{hand.side}'
        stream.log(f'{place}/skeleton', rerun.LineStrips3D([hand.joints[list(chain)] for chain in CHAINS],
                                                           colors=CHAIN_COLORS, radii=BONE_RADIUS))
        stream.log(f'{place}/joints', rerun.Points3D(hand.joints, colors=JOINT_COLORS, radii=JOINT_RADIUS,
                                                     labels=list(JOINTS), show_labels=False))
        if hand.fit is not None:
            if hand.fit.vertices is not None:
                self._mesh(hand.side, hand.fit)
            stream.log(f'{place}/frames', rerun.Arrows3D(
                origins=np.repeat(hand.joints, 3, 0), vectors=AXIS_LENGTH * hand.fit.rotations.transpose(0, 2, 1).reshape(-1, 3),
                colors=np.tile(((230, 70, 70), (80, 200, 80), (90, 120, 240)), (len(JOINTS), 1)), radii=0.0006))
        gap = 1000 * float(np.linalg.norm(hand.joints[_THUMB_TIP] - hand.joints[_INDEX_TIP]))
        stream.log(f'{GAP}/{hand.side}', rerun.Scalars(gap))
        stream.log(f'{CONFIDENCE}/{hand.side}', rerun.Scalars(float(np.mean(hand.confidence))))


    def show_mesh(self, seconds: float, side: str, fit: HandFit) -> None:
        """Log a hand's mesh by itself, for those that come later than the rest."""
        self._at(seconds)
        self._mesh(side, fit)

    def _at(self, seconds: float) -> None:
        # A recording that starts at zero has no date.
        kind = 'timestamp' if seconds > DATED else 'duration'
        self._stream.set_time(TIMELINE, **{kind: seconds})

    def _mesh(self, side: str, fit: HandFit) -> None:
        self._stream.log(f'{HANDS}/{side}/mesh', self._rerun.Mesh3D(
            vertex_positions=fit.vertices, triangle_indices=fit.faces, vertex_normals=_normals(fit),
            albedo_factor=(*rgb(SIDE_COLORS[side]), 150)))


def _normals(fit: HandFit) -> np.ndarray:
    vertices, faces = fit.vertices, fit.faces
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
