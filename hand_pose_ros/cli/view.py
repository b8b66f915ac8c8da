"""``hand-pose view``: the scene in Rerun's viewer, live from the tracker's topics or from a recording."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from hand_pose_ros.cli.arguments import NODE_SETTINGS, add_tracker_arguments, for_recording, tracker_parameters

if TYPE_CHECKING:
    from hand_pose_ros.viewing import Scene


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'view', help='show hands in 3D, live from topics or from a recording',
        description='Show the camera\'s picture, skeletons, meshes and curves in Rerun: of the tracker that runs, or, '
                    'with INPUT, of a recording that is tracked here.')
    parser.add_argument('input', metavar='INPUT', nargs='?',
                        help='a recording, as "hand-pose track" takes them; without one, the tracker\'s topics')
    where = parser.add_mutually_exclusive_group()
    where.add_argument('--web', action='store_true',
                       help='serve the viewer to browsers; so it is too where there is no display')
    where.add_argument('--save', metavar='FILE', help='write FILE.rrd, which "rerun FILE.rrd" opens, and show nothing')
    parser.add_argument('--port', type=int, default=9090, help='of the page. Default: %(default)s')
    parser.add_argument('--data-port', type=int, default=9876,
                        help='that the page gets its data from. Default: %(default)s')
    parser.add_argument('--camera', metavar='YAML', help='camera calibration of the recording')
    parser.add_argument('--topic', help='image topic of the bag; needed only where there are several')
    parser.add_argument('--limit', type=int, metavar='N', help='stop after N frames')
    parser.add_argument('--namespace', default='', help='ROS namespace of the tracker, for its topics')
    add_tracker_arguments(parser, skip=set(NODE_SETTINGS) - {'modality'})


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        ValueError: the recording or a setting cannot be used.
        ViewError: Rerun is not installed or cannot be started.
        NodeError: there is no ROS to get topics from.

    """
    from hand_pose_ros.viewing import APPLICATION, Scene, ViewError, load_rerun
    if args.limit is not None and args.limit < 1:
        raise ValueError(f'--limit {args.limit}: give a whole number above 0')
    parameters = tracker_parameters(args)
    if args.input is None:
        from hand_pose_ros.cli.processes import prepare_to_host_nodes, require_ros
        require_ros('hand-pose view without a recording')
        prepare_to_host_nodes()
    rerun = load_rerun()
    stream = rerun.RecordingStream(APPLICATION)
    web = args.web or not args.save and sys.platform.startswith('linux') and not (
        os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))
    try:
        if args.save:
            stream.save(args.save)
        elif web:
            data = stream.serve_grpc(grpc_port=args.data_port)
            rerun.serve_web_viewer(web_port=args.port, open_browser=False, connect_to=data)
        else:
            stream.spawn()
    # Rerun raises whatever its compiled part makes of a port in use or a viewer that is missing.
    except Exception as error:
        raise ViewError(f'Rerun cannot be started ({error}); --port and --data-port choose other ports') from error
    if web:
        print(f'open http://localhost:{args.port}/?url=rerun%2Bhttp://localhost:{args.data_port}/proxy', flush=True)
    scene = Scene(stream)
    try:
        if args.input is None:
            from hand_pose_ros.nodes.viewer import run_viewer
            return run_viewer(scene, parameters.modality, args.namespace, args.limit)
        count = _show_recording(args, parameters, scene)
        stream.flush()
        print(f'{count} frames shown' if not args.save else f'{count} frames: {args.save}', flush=True)
        while web:
            time.sleep(0.5)   # The page lives as long as this process.
    except KeyboardInterrupt:
        return 130
    return 0


def _show_recording(args: argparse.Namespace, parameters, scene: Scene) -> int:
    from hand_pose_ros.geometry.camera import Camera
    from hand_pose_ros.io.recording import RecordingError, open_recording
    from hand_pose_ros.pipeline.modality import make_tracker
    recording = open_recording(args.input, Camera.from_yaml(args.camera) if args.camera else None,
                               parameters.depth_unit, args.topic)
    tracker = make_tracker(for_recording(parameters, recording))
    count = 0
    for frame in recording:
        if frame.camera is None:
            raise RecordingError(f'{args.input}: holds no camera calibration; give one with --camera')
        picture = frame.picture()
        scene.show(frame.stamp, picture, frame.camera, tracker.process(picture, frame.camera, frame.stamp))
        count += 1
        if count == args.limit:
            break
    return count
