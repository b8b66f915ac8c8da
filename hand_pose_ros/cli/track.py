"""``hand-pose track``: hands of a recording to ``hands.jsonl`` and overlays, without ROS."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hand_pose_ros.cli.arguments import NODE_SETTINGS, add_tracker_arguments, for_recording, tracker_parameters
from hand_pose_ros.cli.progress import FrameProgress

if TYPE_CHECKING:
    import numpy as np

    from hand_pose_ros.io.recording import RecordedFrame, Recording

OVERLAYS = ('png', 'video', 'none')

#: Overlays of small images are enlarged to about this many pixels, so that fingertips can be judged.
OVERLAY_WIDTH = 1024


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'track', help='track hands in a recording; needs no ROS',
        description='Track the hands of a recorded camera. Writes DIR/hands.jsonl, one line a frame, and a '
                    'picture or a video of the skeletons over the images. Depth images are tracked as such; '
                    'colour images and videos by colour, see --hand-size.')
    parser.add_argument('input', metavar='INPUT',
                        help='a folder of 16-bit PNGs (depth), or of PNGs or JPEGs (colour), a rosbag2 (folder, .mcap or '
                             '.db3), a video, or a webcam such as /dev/video0 (until Ctrl-C or --limit)')
    parser.add_argument('--out', metavar='DIR', required=True, help='folder for the results; made when missing')
    parser.add_argument('--camera', metavar='YAML', help='camera calibration; default: the one in the bag or folder')
    parser.add_argument('--topic', help='image topic of the bag; needed only where there are several')
    parser.add_argument('--limit', type=_count, metavar='N', help='stop after N frames')
    parser.add_argument('--overlays', choices=OVERLAYS, default='png',
                        help='DIR/overlays/*.png, DIR/overlay.mp4 or neither. Default: png')
    # Nobody waits for the hands of a recording.
    add_tracker_arguments(parser, skip=NODE_SETTINGS, own={'looks': 4, 'fit_surface': True})


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number above 0')
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Run the command; 130 when interrupted, with everything up to there written.

    Raises:
        ValueError: the recording, the camera or a setting cannot be used; the message is one clear line.
        OSError: the output cannot be written.

    """
    from hand_pose_ros.geometry.camera import Camera
    from hand_pose_ros.io.recording import RecordingError, open_recording
    from hand_pose_ros.io.results import result_line
    from hand_pose_ros.pipeline.modality import make_tracker

    parameters = tracker_parameters(args)
    camera = Camera.from_yaml(args.camera) if args.camera else None
    recording = open_recording(args.input, camera, parameters.depth_unit, args.topic, parameters.aligned_depth)
    parameters = for_recording(parameters, recording)
    tracker = make_tracker(parameters)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)

    frames = with_hands = 0
    seconds: list[float] = []
    interrupted = False
    with ExitStack() as stack:
        lines = stack.enter_context(open(out / 'hands.jsonl', 'w', buffering=1, encoding='utf-8'))
        save = stack.enter_context(_overlay_sink(args.overlays, out, recording))
        progress = FrameProgress(args.limit, recording.count)
        try:
            for frame in recording:
                if frame.camera is None:
                    raise RecordingError(f'{args.input}: holds no camera calibration; give one with --camera')
                started = time.perf_counter()
                picture = frame.picture()
                hands = tracker.process(picture, **frame.for_tracker())
                seconds.append(time.perf_counter() - started)
                lines.write(result_line(frame.name, hands))
                frames += 1
                with_hands += bool(hands)
                if save is not None:
                    from hand_pose_ros.drawing import draw_overlay
                    scale = max(1, round(OVERLAY_WIDTH / frame.camera.width))
                    save(frame, draw_overlay(picture, hands, frame.camera, scale=scale))
                progress.show(frames)
                if frames == args.limit:
                    break
        except KeyboardInterrupt:
            interrupted = True
        finally:
            progress.close()
    median = 1000 * sorted(seconds)[len(seconds) // 2] if seconds else 0.0
    print(f'{"interrupted: " if interrupted else ""}{frames} frames, hands in {with_hands}, {median:.1f} ms a frame '
          f'(median), {tracker.engine_description}: {out / "hands.jsonl"}')
    return 130 if interrupted else 0


@contextmanager
def _overlay_sink(kind: str, out: Path,
                  recording: 'Recording') -> Iterator[Callable[['RecordedFrame', 'np.ndarray'], None] | None]:
    """Yield what takes each frame's overlay, or None where none is wanted."""
    if kind == 'none':
        yield None
    elif kind == 'png':
        import cv2

        from hand_pose_ros.io.recording import IMAGE_SUFFIXES
        folder = out / 'overlays'
        folder.mkdir(exist_ok=True)

        def save(frame: 'RecordedFrame', picture: 'np.ndarray') -> None:
            path = Path(frame.name)
            name = f'{path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name}.png'
            if not cv2.imwrite(str(folder / name), picture):
                raise OSError(f'{folder / name}: the overlay cannot be written')

        yield save
    else:
        from hand_pose_ros.io.results import VideoWriter
        with VideoWriter(out / 'overlay.mp4', recording.rate()) as video:
            yield lambda frame, picture: video.write(picture)
