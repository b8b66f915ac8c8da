"""``hand-pose view``: hands in Rerun's viewer, live from the tracker's topics or from a recording."""

from __future__ import annotations

import argparse
import heapq
import importlib
import ipaddress
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hand_pose_ros.cli.arguments import (
    NODE_SETTINGS,
    add_graph_arguments,
    add_recording_arguments,
    add_tracker_arguments,
    given_settings,
    graph_arguments,
    open_input,
    tracker_settings,
)
from hand_pose_ros.cli.processes import end_with_parent
from hand_pose_ros.cli.streams import say
from hand_pose_ros.files import printable
from hand_pose_ros.settings import TrackerSettings

if TYPE_CHECKING:
    import rerun

    from hand_pose_ros.evaluation.replay import Replayed
    from hand_pose_ros.io.frame import Recording
    from hand_pose_ros.io.outputs import Output
    from hand_pose_ros.tracking.tracker import HandTracker
    from hand_pose_ros.visualization.scene import Scene

#: Settings that say what is subscribed to; a recording says itself how its images are packed.
_TOPICS_ONLY, _BOTH = {'image_transport'}, {'modality', 'depth_unit'}


#: Where a viewer listens unless the user says otherwise: this machine alone reaches it.
LOOPBACK = '127.0.0.1'
#: Within so long a viewer opens its ports, seconds.
START_S = 30.0


class ViewError(RuntimeError):
    """Rerun is missing or does not start; one line that says what to do."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'view',
        help='show hands in 3D, live from topics or from a recording',
        description="Show image, skeletons, joint axes, meshes and series in Rerun's viewer: of the tracker that "
        "runs, or with BAG of a recording, which is tracked here unless it holds a tracker's output "
        '(hands/keypoints). Opens a window, or serves a page where there is no display. Needs no network. '
        'Rerun is an extra (pip install rerun-sdk); where there is a network it counts its users, until '
        '"rerun analytics disable".',
    )
    parser.add_argument(
        'input',
        metavar='BAG',
        nargs='?',
        help='a rosbag2 (folder, .mcap or .db3), or anything else that "hand-pose track" takes, webcams too. '
        'Default: the topics of the ROS graph',
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument('--web', action='store_true', help='serve the viewer as a page, also where there is a display')
    where.add_argument('--save', metavar='FILE.rrd', help='show nothing; write a file that "rerun FILE.rrd" opens')
    parser.add_argument('--port', type=_port, default=9090, help='of the page. Default: %(default)s')
    parser.add_argument(
        '--data-port', type=_port, default=9876, help='that the page gets its data from. Default: %(default)s'
    )
    parser.add_argument(
        '--host',
        default='localhost',
        metavar='NAME',
        help='name or address by which browsers of other machines reach this one. Without it, only this machine sees '
        'the page; with it, everyone who reaches the ports does: there is no password. Default: %(default)s',
    )
    parser.add_argument('--track', action='store_true', help="track the recording even if it holds a tracker's output")
    add_recording_arguments(parser)
    add_tracker_arguments(parser, skip=set(NODE_SETTINGS) - _TOPICS_ONLY)
    add_graph_arguments(parser)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f'{text!r} is not a port from 1 to 65535')
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Run the command; 130 when interrupted while a recording is shown.

    Raises:
        ValueError: the recording, the camera or a setting cannot be used; the message is one clear line.
        ViewError: Rerun is not installed or does not start.
        NodeError: there is no ROS to get topics from.

    """
    settings = tracker_settings(args)
    _refuse_stray_flags(args)
    if args.input is None:
        from hand_pose_ros.cli.processes import prepare_to_host_nodes, require_ros

        require_ros('hand-pose view without a recording')
        import rclpy.utilities  # noqa: F401  ROS from pip starts Python anew here, so nothing may come before.

        prepare_to_host_nodes()
    try:
        import rerun
    except ModuleNotFoundError as error:
        raise ViewError(
            f'hand-pose view needs Rerun, and this Python ({sys.executable}) has no module {error.name}: '
            f'{sys.executable} -m pip install rerun-sdk'
        ) from error
    from hand_pose_ros.visualization.scene import APPLICATION, Scene

    # Before anything is opened, so that what is wrong with a recording is said first.
    show = None if args.input is None else _recording(args, settings)
    stream = rerun.RecordingStream(APPLICATION)
    with _opened(stream, args) as page:
        scene = Scene(stream, live=args.input is None)
        if page:
            say(page)
        if show is None:
            from hand_pose_ros.nodes.process import run_nodes
            from hand_pose_ros.nodes.viewer import ViewerNode

            return run_nodes([lambda: ViewerNode(scene, settings, args.limit)], ['--ros-args', *graph_arguments(args)])
        return _show_recording(stream, scene, show, args, bool(page))


def _show_recording(
    stream: rerun.RecordingStream,
    scene: Scene,
    show: Callable[[Scene], Iterator[None]],
    args: argparse.Namespace,
    stays: bool,
) -> int:
    """Show a recording; where a page ``stays``, until it is interrupted."""
    try:
        images = sum(1 for _ in show(scene))
        stream.flush()
        say(f'{images} images{f": {args.save}" if args.save else ""}')
        if stays:
            threading.Event().wait()  # The page gets its data from this process until Ctrl-C.
    except KeyboardInterrupt:
        return 130
    finally:
        stream.disconnect()
    return 0


def _refuse_stray_flags(args: argparse.Namespace) -> None:
    """Raise ValueError for a flag that is for topics where a recording is shown, or the other way round."""
    given = given_settings(args, TrackerSettings).keys() | {
        name for name in ('track', 'camera', 'topic') if getattr(args, name)
    }
    if stray := sorted(given & _TOPICS_ONLY if args.input else given - _TOPICS_ONLY - _BOTH):
        raise ValueError(
            f'--{stray[0].replace("_", "-")} is for {"topics" if args.input else "a recording"}, '
            f'{"not for a recording" if args.input else "and none was given"}'
        )


@contextmanager
def _opened(stream: rerun.RecordingStream, args: argparse.Namespace) -> Iterator[str]:
    """Connect a recording with what it is shown in; yields the address of the page, empty where there is none.

    Raises:
        ViewError: Rerun does not start.

    """
    headless = sys.platform.startswith('linux') and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))
    try:
        if args.save:
            stream.save(args.save)
            yield ''
            return
    # Rerun lets through whatever its compiled part makes of a file that it cannot write.
    except Exception as error:
        raise ViewError(f'--save {args.save}: {" ".join(str(error).split())}') from error
    is_page = args.web or headless
    bind = LOOPBACK if not is_page or _is_loopback(args.host) else '0.0.0.0'
    options = ['--bind', bind, '--port', str(args.data_port), '--server-memory-limit', '50%']
    origin = f'http://{args.host}:{args.port}'
    if is_page:
        options += ['--serve-web', '--web-viewer-port', str(args.port), '--cors-allow-origin', origin]
    if bind != LOOPBACK:
        print(
            f'warning: without a password, whoever reaches port {args.port} or {args.data_port} of this machine sees '
            'the images; "ssh -L" to both ports of localhost shows them to you alone, without --host',
            file=sys.stderr,
        )
    viewer = _start_viewer(options, [args.data_port, args.port] if is_page else [args.data_port], ends=is_page)
    try:
        stream.connect_grpc(f'rerun+http://{LOOPBACK}:{args.data_port}/proxy')
        yield f'{origin}/?url=rerun%2Bhttp://{args.host}:{args.data_port}/proxy' if is_page else ''
    finally:
        if is_page:
            viewer.terminate()


def _is_loopback(host: str) -> bool:
    """Whether a name or an address means this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'


def _start_viewer(options: list[str], ports: list[int], ends: bool) -> subprocess.Popen:
    """Start Rerun's own program, which takes an address to listen on: its Python interface listens everywhere.

    Args:
        options: of the program.
        ports: that it opens.
        ends: with this process; a window stays until the user closes it.

    Raises:
        ViewError: it ends, or does not open its ports in time.

    """
    hint = '--port and --data-port choose other ports, --web serves a page instead of a window, --save writes a file'
    for port in ports:
        if _listens(port):
            raise ViewError(f'Rerun does not start: port {port} is in use; {hint}')
    program = Path(importlib.import_module('rerun_cli').__file__ or '').with_name('rerun')
    with tempfile.TemporaryFile('w+') as log:
        try:
            viewer = subprocess.Popen(
                [program, *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent if ends else None,
            )
        except OSError as error:
            raise ViewError(f'Rerun does not start: {error.strerror or error}; {hint}') from error
        end = time.monotonic() + START_S
        while not all(map(_listens, ports)):
            if viewer.poll() is not None or time.monotonic() > end:
                viewer.kill()
                log.seek(0)
                reason = (log.read().strip().splitlines() or ['its ports stay closed'])[-1]
                raise ViewError(f'Rerun does not start: {reason}; {hint}')
            time.sleep(0.05)
    return viewer


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((LOOPBACK, port)) == 0


def _recording(args: argparse.Namespace, settings: TrackerSettings) -> Callable[[Scene], Iterator[None]]:
    """Open the recording; returns what shows it in a scene and yields once an image.

    Raises:
        ValueError: it cannot be used.

    """
    from hand_pose_ros.io.frame import RecordingError
    from hand_pose_ros.io.outputs import recorded_outputs
    from hand_pose_ros.io.recording import BAG_SUFFIXES
    from hand_pose_ros.tracking.factory import make_tracker

    path = Path(args.input)
    is_bag = path.suffix.lower() in BAG_SUFFIXES or (path / 'metadata.yaml').exists()
    outputs = [] if args.track or not is_bag else recorded_outputs(path)
    try:
        recording, settings = open_input(args, settings)
    except RecordingError as error:
        if not outputs:
            raise
        print(printable(f'{error}; the recorded hands are shown without'), file=sys.stderr)
        return partial(_show_outputs, path, None, args.limit)
    if outputs:
        shown = f'{path}: the hands recorded on {", ".join(outputs)} are shown; --track tracks anew'
        print(printable(shown), file=sys.stderr)
        return partial(_show_outputs, path, recording, args.limit)
    return partial(_track, recording, make_tracker(settings), args.limit)


def _track(recording: Recording, tracker: HandTracker, limit: int | None, scene: Scene) -> Iterator[None]:
    from hand_pose_ros.evaluation.replay import replay

    for one in replay(recording, {'': tracker}, None, limit):
        _show_image(scene, one)
        scene.hands(one.frame.nanoseconds, one.hands[''], one.seconds[''])
        yield


def _show_image(scene: Scene, one: Replayed) -> None:
    scene.image(one.frame.nanoseconds, one.frame.picture, one.camera)


def _show_outputs(path: Path, recording: Recording | None, limit: int | None, scene: Scene) -> Iterator[None]:
    """Show what a tracker's output says, with the images (where there are any) in the order of their stamps."""
    from hand_pose_ros.evaluation.replay import replay
    from hand_pose_ros.io.outputs import iterate_outputs

    def images() -> Iterator[tuple[int, Replayed | tuple[int, Output]]]:
        for one in replay(recording, {}, None) if recording else ():
            yield one.frame.nanoseconds, one

    def outputs() -> Iterator[tuple[int, Replayed | tuple[int, Output]]]:
        for stamp, recorded, output in iterate_outputs(path):
            yield stamp, (recorded, output)

    shown, last = 0, -1
    for stamp, what in heapq.merge(images(), outputs(), key=lambda item: item[0]):
        is_image = not isinstance(what, tuple)
        begins = is_image if recording else stamp > last
        last = stamp
        if begins and shown == limit:
            return
        if isinstance(what, tuple):
            scene.output(stamp, *what)
        else:
            _show_image(scene, what)
        if begins:
            shown += 1
            yield
