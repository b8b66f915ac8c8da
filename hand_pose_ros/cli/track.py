"""``hand-pose track``: hands of a recording to ``hands.jsonl`` and overlays, without ROS."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hand_pose_ros.cli.arguments import (
    NODE_SETTINGS,
    add_recording_arguments,
    add_tracker_arguments,
    make_output_folder,
    open_input,
    tracker_settings,
)
from hand_pose_ros.cli.interruption import interruptible
from hand_pose_ros.cli.progress import FrameProgress
from hand_pose_ros.cli.streams import say
from hand_pose_ros.files import write_bytes, writing

if TYPE_CHECKING:
    import numpy as np

    from hand_pose_ros.core.hand import Hand
    from hand_pose_ros.imaging.images import DepthImage
    from hand_pose_ros.io.frame import RecordedFrame, Recording
    from hand_pose_ros.tracking.tracker import HandTracker

OVERLAYS = ('png', 'video', 'none')

#: Overlays of small images are enlarged to about this many pixels, so that fingertips can be judged.
OVERLAY_WIDTH = 1024


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'track',
        help='track hands in a recording; needs no ROS',
        description='Track the hands of a recorded camera. Writes DIR/hands.jsonl, one line a frame, and a '
        'picture or a video of the skeletons over the images. Of a bag that holds depth and color, --modality '
        'says what is tracked; distances in color alone follow from --hand-size.',
    )
    parser.add_argument(
        'input',
        metavar='INPUT',
        help='a folder of 16-bit PNGs (depth), or of PNGs or JPEGs (color), a rosbag2 (folder, .mcap or '
        '.db3), a video, or a webcam such as /dev/video0 (until Ctrl-C or --limit)',
    )
    parser.add_argument('--out', metavar='DIR', required=True, help='folder for the results; made when missing')
    add_recording_arguments(parser)
    parser.add_argument(
        '--overlays',
        choices=OVERLAYS,
        default='png',
        help='DIR/overlays/*.png, DIR/overlay.mp4 or neither. Default: png',
    )
    parser.add_argument(
        '--independent',
        action='store_true',
        help='color images are photographs that have nothing to do with one another: each is tracked on its own and '
        'searched at several scales',
    )
    parser.add_argument('--mirrored', action='store_true', help='the images are mirrored, left and right')
    # Nobody waits for the hands of a recording.
    skip = set(NODE_SETTINGS) - {'pairing_tolerance'}  # rgbd of a bag is paired as the node does it
    add_tracker_arguments(parser, skip=skip, own={'views': 4, 'articulated_icp': True})


def run(args: argparse.Namespace) -> int:
    """Run the command; 130 when interrupted, 143 when terminated, with everything up to there written.

    Raises:
        ValueError: the recording, the camera or a setting cannot be used; the message is one clear line.
        OSError: the output cannot be written.

    """
    from hand_pose_ros.tracking.factory import make_tracker

    recording, settings = open_input(args, tracker_settings(args))
    out = Path(args.out)
    make_output_folder(out, 'hands.jsonl', *(['overlay.mp4'] if args.overlays == 'video' else []))
    if args.overlays == 'png':
        make_output_folder(out / 'overlays')
    if args.independent and recording.modality != 'color':
        raise ValueError(f'--independent is for color images; {args.input} is tracked by {recording.modality}')
    args.near_far = settings.tracking.near, settings.tracking.far
    tracker = make_tracker(settings, independent=True) if args.independent else make_tracker(settings)
    counts = _Counts()
    with interruptible() as interruption:
        _track(recording, tracker, args, out, counts)
    counts.interrupted = bool(interruption.exit_code)
    say(f'{counts.describe(recording.modality)}, {tracker.description}: {out / "hands.jsonl"}')
    return interruption.exit_code


@dataclass
class _Counts:
    """What was tracked: frames, those with hands, those without the depth that they should have, and their times."""

    frames: int = 0
    with_hands: int = 0
    without_depth: int = 0
    #: Frames in which there is depth, and the distance of no hand was measured.
    not_measured: int = 0
    seconds: list[float] = field(default_factory=list)
    interrupted: bool = False
    #: Why nothing could be found in the frames without hands, or measured in those: reason -> how many.
    reasons: Counter[str] = field(default_factory=Counter)

    def describe(self, modality: str) -> str:
        median = 1000 * sorted(self.seconds)[len(self.seconds) // 2] if self.seconds else 0.0
        without = f' ({self.without_depth} without depth)' if modality == 'rgbd' else ''
        return (
            f'{"interrupted: " if self.interrupted else ""}{self.frames} frames{without}, hands in {self.with_hands}, '
            f'{median:.1f} ms a frame (median){self._why()}'
        )

    def explain(self, depth: DepthImage | None, hands: Sequence[Hand], near: float, far: float) -> None:
        """Take in why a depth image shows none of the hands that there should be."""
        from hand_pose_ros.estimation.rgbd import why_not_measured

        if depth is None or any(hand.metric for hand in hands) or (self.with_hands and not hands):
            return
        if hands and not self.not_measured:
            self.reasons.clear()  # what was said of frames without hands
        self.not_measured += bool(hands)
        if reason := why_not_measured(depth, hands, near, far):
            self.reasons[reason] += 1

    def _why(self) -> str:
        """Why no hand was found at all, or how far away they are was not measured, where that is known."""
        if not self.reasons:
            return ''
        reason, _ = self.reasons.most_common(1)[0]
        if self.with_hands:
            return f'; in {self.not_measured} frames their distance follows from --hand-size, since {reason}'
        return f'; no hand, since {reason}'


def _track(recording: Recording, tracker: HandTracker, args: argparse.Namespace, out: Path, counts: _Counts) -> None:
    """Track the frames up to the limit and write what is found, counting in ``counts``."""
    from hand_pose_ros.imaging.orientation import unmirrored
    from hand_pose_ros.io.results import result_line
    from hand_pose_ros.visualization.drawing import draw_overlay

    with ExitStack() as stack:
        part = stack.enter_context(writing(out / 'hands.jsonl'))
        lines = stack.enter_context(open(part, 'w', buffering=1, encoding='utf-8'))
        save = stack.enter_context(_overlay_sink(args.overlays, out, recording))
        progress = FrameProgress(args.limit, recording.count)
        stack.callback(progress.close)
        for recorded in recording:
            frame = recorded.camera_frame()
            if args.mirrored:
                frame = unmirrored(frame)
            if args.independent:
                tracker.reset()
            started = time.perf_counter()
            hands = tracker.process(frame)
            counts.seconds.append(time.perf_counter() - started)
            lines.write(result_line(recorded.name, hands))
            counts.frames += 1
            counts.with_hands += bool(hands)
            counts.without_depth += frame.depth is None
            counts.explain(frame.depth, hands, *args.near_far)
            if save is not None:
                scale = max(1, round(OVERLAY_WIDTH / frame.camera.width))
                save(recorded, draw_overlay(frame.picture, hands, frame.camera, scale=scale))
            progress.show(counts.frames)
            if counts.frames == args.limit:
                break


@contextmanager
def _overlay_sink(
    kind: str, out: Path, recording: Recording
) -> Iterator[Callable[[RecordedFrame, np.ndarray], None] | None]:
    """Yield what takes each frame's overlay, or None where none is wanted."""
    if kind == 'none':
        yield None
    elif kind == 'png':
        import cv2

        from hand_pose_ros.io.recording import IMAGE_SUFFIXES

        folder = out / 'overlays'
        taken: set[str] = set()

        def save(frame: RecordedFrame, picture: np.ndarray) -> None:
            path = Path(frame.name)
            name = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
            # a.png and a.jpg of one folder; or stamps that are not of different times.
            if name.casefold() in taken:
                name = path.name
            while name.casefold() in taken:
                name += '_'
            taken.add(name.casefold())
            write_bytes(folder / f'{name}.png', cv2.imencode('.png', picture)[1].tobytes())

        yield save
    else:
        from hand_pose_ros.io.results import VideoWriter

        with VideoWriter(out / 'overlay.mp4', recording.rate()) as video:
            yield lambda frame, picture: video.write(picture)
