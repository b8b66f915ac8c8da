"""Make the pictures of the documents from real output: ``python scripts/make_pictures.py [NAME ...]``.

Without a name it makes all: docs/demo.png and docs/color.png, the bundled clips tracked, and docs/view.png, what ``hand-pose view`` shows
of it in a browser, for which it needs Rerun and Chromium.
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.drawing import draw_overlay, side_by_side
from hand_pose_ros.images import depth_in_metres
from hand_pose_ros.io.recording import open_recording
from hand_pose_ros.parameters import TrackerParameters
from hand_pose_ros.pipeline.modality import make_tracker
from hand_pose_ros.pipeline.tracker import HandTracker
from hand_pose_ros.resources import resource_path

ROOT = Path(__file__).resolve().parents[1]
#: Frames of the bundled clip that are shown, and the first row of them: above it there is nothing.
SHOWN, TOP = (36, 92, 120), 200
#: The same of the colour clip.
SHOWN_COLOR = (18, 46)
#: Frames of the clip that the viewer gets, the page's size, its top bar, seconds until it shows
#: hands, and from then until the last frame is drawn.
VIEWED, PAGE, BAR, PATIENCE, SETTLING = 24, (1440, 1000), 36, 300, 45


def draw_demo() -> np.ndarray:
    """Track the bundled clip and draw the chosen frames."""
    tracker, rows = HandTracker(), []
    for number, frame in enumerate(open_recording(resource_path('demo', 'clip'))):
        depth = depth_in_metres(frame.image, 0.001)
        hands = tracker.process(depth, frame.camera)
        if number in SHOWN:
            rows.append(side_by_side(depth, hands, frame.camera)[TOP:])
    return np.vstack(rows)


def draw_color() -> np.ndarray:
    """Track the bundled colour clip and draw the chosen frames, with the meshes beside."""
    tracker, rows = make_tracker(TrackerParameters(modality='rgb')), []
    for number, frame in enumerate(open_recording(resource_path('demo', 'color'))):
        hands = tracker.process(frame.image, frame.camera)
        if number in SHOWN_COLOR:
            rows.append(np.hstack([draw_overlay(frame.image, hands, frame.camera),
                                   draw_overlay(frame.image, hands, frame.camera, mesh=True)])[TOP:])
    return np.vstack(rows)


def draw_view() -> np.ndarray:
    """Show the start of the bundled clip in the viewer, and take a picture of its page."""
    import rerun

    sys.path.insert(0, str(ROOT / 'test'))   # The browser is the tests' own.
    from browser import Browser, find_chromium
    from test_view import free_port, pixels_seen

    from hand_pose_ros.evaluation.replay import replay
    from hand_pose_ros.viewing import APPLICATION, Scene
    stream, page, data = rerun.RecordingStream(APPLICATION), free_port(), free_port()
    stream.serve_grpc(grpc_port=data)
    rerun.serve_web_viewer(web_port=page, open_browser=False)
    scene = Scene(stream, live=True)
    for one in replay(open_recording(resource_path('demo', 'clip')), {'': HandTracker()}, None, VIEWED):
        scene.image(one.frame.nanoseconds, one.picture, one.frame.camera)
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


def main() -> None:
    """Make the pictures that were asked for."""
    pictures = {'demo.png': draw_demo, 'color.png': draw_color, 'view.png': draw_view}
    for name in sys.argv[1:] or pictures:
        picture = pictures[name]()
        (ROOT / 'docs').mkdir(exist_ok=True)
        cv2.imwrite(str(ROOT / 'docs' / name), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        print(f'docs/{name}: {picture.shape[1]}x{picture.shape[0]}')


if __name__ == '__main__':
    main()
