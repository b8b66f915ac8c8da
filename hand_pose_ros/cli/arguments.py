"""Command line flags made from declared settings, shared by the commands that use them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hand_pose_ros import topics
from hand_pose_ros.files import printable
from hand_pose_ros.settings import MODALITIES, TrackerSettings, changed, compose, declared

if TYPE_CHECKING:
    from hand_pose_ros.io.frame import Recording

#: Settings that mean something to a node only, and the modality, which a recording says itself.
NODE_SETTINGS = (
    'mirrored',
    'modality',
    'expected_rate_hz',
    'pairing_tolerance',
    'tf_prefix',
    'image_transport',
    'gesture_hold',
    'gestures_file',
    'up_frame',
    'ray_frame',
    'angle_confidence',
    'angle_speed',
    'publish_tf',
    'auto_activate',
)


def add_settings_arguments(
    parser: argparse.ArgumentParser,
    kind: type,
    title: str,
    skip: Collection[str] = (),
    own: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Add one flag for each setting of ``kind`` that is not in ``skip``: ``max_hands`` is ``--max-hands``.

    Switches get a ``--no-`` form. Flags that are not given leave nothing behind; :func:`given_settings` returns the
    others, and those for which the command has a default of its ``own``.
    """
    group = parser.add_argument_group(title)
    for setting in declared(kind):
        if setting.name in skip:
            continue
        name = '--' + setting.name.replace('_', '-')
        about = setting.metadata['description'].replace('%', '%%')
        default = own.get(setting.name, setting.default)
        if isinstance(setting.default, bool):
            group.add_argument(
                name,
                action=argparse.BooleanOptionalAction,
                dest=setting.name,
                default=own.get(setting.name, argparse.SUPPRESS),
                help=f'{about} Default: {"on" if default else "off"}.',
            )
            continue
        group.add_argument(
            name,
            type=type(setting.default),
            default=own.get(setting.name, argparse.SUPPRESS),
            choices=setting.metadata['choices'] or None,
            metavar=None if setting.metadata['choices'] else setting.name.upper(),
            help=about + ('' if default == '' else f' Default: {default}.'),
        )


def given_settings(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Return the settings of ``kind`` whose flags were given, by name."""
    given = vars(args)
    return {setting.name: given[setting.name] for setting in declared(kind) if setting.name in given}


def add_tracker_arguments(
    parser: argparse.ArgumentParser, skip: Collection[str] = (), own: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Add the flags of ``TrackerSettings``, see :func:`add_settings_arguments`."""
    add_settings_arguments(parser, TrackerSettings, 'tracker', skip, own)


def tracker_settings(args: argparse.Namespace) -> TrackerSettings:
    """Build the tracker's settings from parsed flags; those that were not given keep their defaults.

    Raises:
        ValueError: a value is out of its range; the message names the parameter.

    """
    return compose(TrackerSettings, given_settings(args, TrackerSettings))


def add_recording_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how a recording is read, see :func:`open_input`."""
    parser.add_argument('--camera', metavar='YAML', help='camera calibration; default: the one in the bag or folder')
    parser.add_argument('--topic', help='image topic of the bag; needed only where there are several')
    parser.add_argument('--depth-topic', help='topic of registered depth, where there are several')
    add_modality_argument(parser, 'depth where there is depth')
    parser.add_argument('--limit', type=_count, metavar='N', help='stop after N images')


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number above 0')
    return int(text)


def add_modality_argument(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--modality``, which leaves nothing behind where it is not given; ``default`` says what holds then."""
    parser.add_argument(
        '--modality',
        choices=MODALITIES,
        default=argparse.SUPPRESS,
        help='what to read: depth, color, or rgbd for color with the depth that is registered to it. '
        f'Default: {default}',
    )


def open_input(args: argparse.Namespace, settings: TrackerSettings) -> tuple[Recording, TrackerSettings]:
    """Open the recording ``args.input``; returns it with the settings of a tracker for it.

    What was assumed about it is written to stderr.

    Raises:
        ValueError: the recording or the camera cannot be used; the message is one clear line.

    """
    from hand_pose_ros.geometry.calibration import read_calibration
    from hand_pose_ros.io.recording import open_recording

    camera = read_calibration(args.camera) if args.camera else None
    if camera and camera.note:
        print(printable(f'{args.camera}: {camera.note}'), file=sys.stderr)
    modality = getattr(args, 'modality', None)
    node = settings.node
    recording = open_recording(
        args.input, camera, node.depth_unit, args.topic, modality, args.depth_topic, node.pairing_tolerance
    )
    if recording.note:
        print(printable(f'{recording.path}: {recording.note}'), file=sys.stderr)
    return recording, changed(settings, modality=recording.modality)


def make_output_folder(path: Path, *files: str) -> None:
    """Make the folder of a command's results and try to write there, before anything that takes long.

    Args:
        path: the folder.
        files: names of what will be written into it.

    Raises:
        OSError: it cannot be made or written, or a folder is where a file should be; the message names it.

    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OSError(f'{path}: results cannot be written there ({error.strerror or error})') from error
    for file in files:
        if (path / file).is_dir():
            raise OSError(f'{path / file}: a result cannot be written there, since it is a folder; remove or rename it')


def add_graph_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where in the ROS graph a node is: namespace, camera topics and any ROS arguments."""
    group = parser.add_argument_group('ROS')
    for topic in topics.CAMERA_TOPICS:
        group.add_argument(
            '--' + topic.replace('/', '-').replace('_', '-'),
            dest=topic,
            metavar='TOPIC',
            default=topic,
            help=f'topic to read for {topic}. Default: %(default)s.',
        )
    group.add_argument('--namespace', default='', help='ROS namespace of nodes and topics.')
    group.add_argument(
        '--ros-args',
        nargs=argparse.REMAINDER,
        default=[],
        help='ROS arguments, as every node takes them; the last flag.',
    )


def graph_arguments(args: argparse.Namespace) -> list[str]:
    """Return the ROS arguments, without ``--ros-args``, that the flags of :func:`add_graph_arguments` stand for."""
    remaps = [f'{topic}:={vars(args)[topic]}' for topic in topics.CAMERA_TOPICS]
    if args.namespace:
        remaps.append(f'__ns:=/{args.namespace.strip("/")}')
    return [*(word for remap in remaps for word in ('-r', remap)), *args.ros_args]
