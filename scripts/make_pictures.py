"""Make the pictures of the documents from real output: ``python scripts/make_pictures.py [NAME ...]``.

Without a name it makes all: docs/demo.png and docs/color.png, the bundled clips tracked; docs/color_limits.jpg, renders
that our color network is right and wrong about, for which it needs the training's packages; docs/hand_frame.png, the
joints and the hand frame of the hand model; docs/robot_hand.png, a robot hand beside the clip's right hand; and
docs/view.png, what ``hand-pose view`` shows in a browser, for which it
needs Rerun and Chromium.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.core.hand import HandFit
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import BONES
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.io.recording import open_recording
from hand_pose_ros.resources import resource_path
from hand_pose_ros.robots.picture import RobotPicture
from hand_pose_ros.robots.retargeting import ObservedHand
from hand_pose_ros.settings import ModelSettings, TrackerSettings
from hand_pose_ros.tracking.factory import make_tracker
from hand_pose_ros.visualization.drawing import draw_mesh, draw_overlay, side_by_side

ROOT = Path(__file__).resolve().parents[1]
FONT = cv2.FONT_HERSHEY_SIMPLEX
#: Frames of the bundled clip that are shown, and the first row of them: above it there is nothing.
SHOWN, TOP = (36, 92, 120), 200
#: The same of the color clip.
SHOWN_COLOR = (18, 46)
#: Validation renders that some are chosen of, and how many are shown in a row.
RENDERS, ACROSS = 256, 7
#: Frames of the clip that a robot hand is drawn beside, and the size of each picture, pixels.
SHOWN_ROBOT, ROBOT_SIZE = (20, 60, 101, 140, 180), 240
#: Frames of the clip that the viewer gets, the page's size, its top bar, seconds until it shows
#: hands, and from then until the last frame is drawn.
VIEWED, PAGE, BAR, PATIENCE, SETTLING = 24, (1440, 1000), 36, 300, 45


def draw_demo() -> np.ndarray:
    """Track the bundled clip and draw the chosen frames."""
    tracker, rows = make_tracker(), []
    for number, frame in enumerate(open_recording(resource_path('demo', 'clip'))):
        hands = tracker.process(frame.camera_frame())
        if number in SHOWN:
            rows.append(side_by_side(frame.picture, hands, frame.camera)[TOP:])
    return np.vstack(rows)


def draw_color() -> np.ndarray:
    """Track the bundled color clip and draw the chosen frames, with the meshes beside."""
    tracker, rows = make_tracker(TrackerSettings(models=ModelSettings(modality='color'))), []
    for number, frame in enumerate(open_recording(resource_path('demo', 'color'))):
        hands = tracker.process(frame.camera_frame())
        if number in SHOWN_COLOR:
            pictures = [draw_overlay(frame.picture, hands, frame.camera, mesh=mesh) for mesh in (False, True)]
            rows.append(np.hstack(pictures)[TOP:])
    return np.vstack(rows)


def draw_color_limits() -> np.ndarray:
    """Draw validation renders in two rows: hands that our color network estimates as most, and its worst.

    White is true, green is estimated.
    """
    sys.path.insert(0, str(ROOT))
    from hand_pose_ros.estimation.color import ColorPoseEstimator
    from training.evaluation.precision import color_input, run_in_batches
    from training.tasks.color_pose import validation_renders

    network = ColorPoseEstimator(ModelSettings(modality='color', model='color_light'))
    data = validation_renders(network.input_size).first(RENDERS)
    points = run_in_batches(network.engine, color_input(data.images))[1]
    order = np.argsort(np.linalg.norm(points - data.points, axis=2).mean(1))
    middle = order[np.linspace(0, 0.8 * RENDERS, ACROSS).astype(int)]
    rows = []
    for chosen in middle, order[-ACROSS:]:
        tiles = []
        for n in chosen:
            tile = np.ascontiguousarray(data.images[n][..., ::-1])
            for places, color in (data.points[n], (255, 255, 255)), (points[n], (60, 220, 60)):
                pixels = np.round((places + 1) / 2 * len(tile) - 0.5).astype(int).tolist()
                for parent, child in BONES:
                    cv2.line(tile, pixels[parent], pixels[child], color, 1, cv2.LINE_AA)
            tiles.append(tile)
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def draw_robot_hand() -> np.ndarray:
    """Track the bundled clip, and draw the chosen frames' right hands over the robot hand that follows them."""
    tracker, robot, columns = make_tracker(), RobotPicture('dexpilot'), []
    for number, frame in enumerate(open_recording(resource_path('demo', 'clip'))):
        hands = tracker.process(frame.camera_frame())
        hand = next((hand for hand in hands if hand.side == 'right'), None)
        if hand is None:
            continue
        follower = robot.draw(ObservedHand(hand.side, hand.joints), (ROBOT_SIZE, ROBOT_SIZE))
        if number in SHOWN_ROBOT:
            picture = draw_overlay(frame.picture, [hand], frame.camera)
            corner = np.round(frame.camera.project(hand.joints.mean(0))).astype(int) - ROBOT_SIZE // 2
            x, y = np.clip(corner, 0, (picture.shape[1] - ROBOT_SIZE, picture.shape[0] - ROBOT_SIZE))
            columns.append(np.vstack([picture[y : y + ROBOT_SIZE, x : x + ROBOT_SIZE], follower]))
    return np.hstack(columns)


@dataclass(frozen=True)
class HandFramePicture:
    """How the hand frame is drawn."""

    #: Pixels of the picture, and of the focal length.
    width: int = 640
    height: int = 460
    focal_px: float = 1150.0
    #: Distance of the camera, which looks at the middle of the hand.
    distance_m: float = 0.5
    #: The hand is turned about the picture's axes from the view on its back, so that all three axes are seen.
    pitch_deg: float = -28.0
    yaw_deg: float = 24.0
    #: Length of the frame's axes.
    axis_m: float = 0.045


def draw_hand_frame(style: HandFramePicture = HandFramePicture()) -> np.ndarray:
    """Draw the right hand of the hand model at rest from its back, its joints' indices and the frame at its wrist."""
    model = load_hand_models()[0]
    posed = model.pose(model.rest_angles)
    frame = model.frames[0]
    # The hand's x goes up in the picture and its back faces the camera.
    upright = np.array([-frame[:, 1], -frame[:, 0], -frame[:, 2]])
    turn = (
        cv2.Rodrigues(np.radians([style.pitch_deg, 0.0, 0.0]))[0]
        @ cv2.Rodrigues(np.radians([0.0, style.yaw_deg, 0.0]))[0]
    )
    rotation = turn @ upright
    translation = np.array([0.0, 0.0, style.distance_m]) - rotation @ posed.joints.mean(0)
    joints, vertices = (points @ rotation.T + translation for points in (posed.joints, posed.vertices))
    camera = Camera(style.width, style.height, style.focal_px, style.focal_px, style.width / 2, style.height * 0.44)
    picture = np.full((style.height, style.width, 3), 255, np.uint8)
    fit = HandFit({}, posed.rotations, joints, vertices, model.faces, 0.0)
    draw_mesh(picture, fit, camera)
    picture = cv2.addWeighted(picture, 0.45, np.full_like(picture, 255), 0.55, 0.0)
    pixels = [tuple(int(value) for value in np.round(_pixel(joint, camera))) for joint in joints]
    for parent, child in BONES:
        cv2.line(picture, pixels[parent], pixels[child], (90, 90, 90), 2, cv2.LINE_AA)
    for number, at in enumerate(pixels):
        cv2.circle(picture, at, 4, (40, 40, 40), -1, cv2.LINE_AA)
        cv2.putText(picture, str(number), (at[0] + 7, at[1] - 5), FONT, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    for name, axis, color in zip('xyz', (rotation @ frame).T, ((40, 40, 220), (40, 160, 40), (220, 90, 30))):
        tip, label = (
            tuple(int(value) for value in np.round(_pixel(joints[0] + axis * length * style.axis_m, camera)))
            for length in (1.0, 1.2)
        )
        cv2.arrowedLine(picture, pixels[0], tip, color, 3, cv2.LINE_AA, tipLength=0.15)
        cv2.putText(picture, name, (label[0] - 6, label[1] + 6), FONT, 0.7, color, 2, cv2.LINE_AA)
    return picture


def _pixel(point: np.ndarray, camera: Camera) -> np.ndarray:
    return np.array([camera.fx * point[0] / point[2] + camera.cx, camera.fy * point[1] / point[2] + camera.cy])


def draw_view() -> np.ndarray:
    """Show the start of the bundled clip in the viewer, and take a picture of its page."""
    import rerun

    sys.path.insert(0, str(ROOT / 'test' / 'support'))  # The browser is the tests' own.
    from browser import Browser, find_chromium, free_port, pixels_seen

    from hand_pose_ros.evaluation.replay import replay
    from hand_pose_ros.visualization.scene import APPLICATION, Scene

    stream, page, data = rerun.RecordingStream(APPLICATION), free_port(), free_port()
    stream.serve_grpc(grpc_port=data)
    rerun.serve_web_viewer(web_port=page, open_browser=False)
    scene = Scene(stream, live=True)
    for one in replay(open_recording(resource_path('demo', 'clip')), {'': make_tracker()}, None, VIEWED):
        scene.image(one.frame.nanoseconds, one.frame.picture, one.camera)
        scene.hands(one.frame.nanoseconds, one.hands[''], one.seconds[''])
    with Browser(find_chromium() or 'chromium', *PAGE) as browser:
        browser.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'dark'}])
        browser.open(f'http://localhost:{page}/?url=rerun%2Bhttp://localhost:{data}/proxy&renderer=webgl')
        end = time.monotonic() + PATIENCE
        # In space the meshes tint the fingers.
        while min(count for (view, _), count in pixels_seen(browser.picture()).items() if view == 'image') < 50:
            if time.monotonic() > end:
                raise SystemExit(f'the page did not show the hands within {PATIENCE} s')
            time.sleep(2)
        time.sleep(SETTLING)
        return browser.picture()[BAR:]


PICTURES = {
    'demo.png': draw_demo,
    'color.png': draw_color,
    'color_limits.jpg': draw_color_limits,
    'hand_frame.png': draw_hand_frame,
    'robot_hand.png': draw_robot_hand,
    'view.png': draw_view,
}


def main() -> None:
    """Make the pictures that were asked for."""
    names = sys.argv[1:] or list(PICTURES)
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        raise SystemExit(f'{", ".join(unknown)}: there are {", ".join(PICTURES)}')
    for name in names:
        picture = PICTURES[name]()
        cv2.imwrite(str(ROOT / 'docs' / name), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        print(f'docs/{name}: {picture.shape[1]}x{picture.shape[0]}')


if __name__ == '__main__':
    main()
