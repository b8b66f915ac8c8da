"""``hand-pose node``: the tracker, and with ``--input`` a camera that plays a recording, in one process."""

from __future__ import annotations

import argparse
from dataclasses import fields

from hand_pose_ros import topics
from hand_pose_ros.cli.arguments import add_settings_arguments, add_tracker_arguments, given_settings
from hand_pose_ros.parameters import PlaybackParameters, TrackerParameters

#: Settings of both nodes have one flag, among the tracker's.
_SHARED = set.intersection(*({setting.name for setting in fields(kind)} for kind in (TrackerParameters,
                                                                                     PlaybackParameters)))


_CAMERA_TOPICS = (*topics.inputs('depth'), *topics.inputs('rgb'))


def _flag(topic: str) -> str:
    return '--' + topic.replace('/', '-').replace('_', '-')


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        'node', help='run the ROS nodes in one process, without the launch system',
        description='Track the hands in a camera\'s topics, or with --input in a recording that is published '
                    'as a camera would.')
    for topic in _CAMERA_TOPICS:
        parser.add_argument(_flag(topic), metavar='TOPIC', default=topic,
                            help=f'topic to read for {topic}. Default: %(default)s.')
    parser.add_argument('--namespace', default='', help='ROS namespace of nodes and topics.')
    add_tracker_arguments(parser)
    add_settings_arguments(parser, PlaybackParameters, 'playback', skip=_SHARED)
    parser.add_argument('--ros-args', nargs=argparse.REMAINDER, default=[],
                        help='ROS arguments, as every node takes them; the last flag.')


def run(args: argparse.Namespace) -> int:
    """Run the nodes until they are stopped, or the recording ends."""
    from hand_pose_ros.nodes.together import run_together

    playback = given_settings(args, PlaybackParameters)
    if not playback.get('input') and (stray := sorted(playback.keys() - _SHARED - {'input'})):
        raise ValueError(f'--{stray[0].replace("_", "-")} is for a recording; give it with --input')
    remaps = [f'{topic}:={getattr(args, _flag(topic)[2:].replace("-", "_"))}' for topic in _CAMERA_TOPICS]
    if args.namespace:
        remaps.append(f'__ns:=/{args.namespace.strip("/")}')
    return run_together(given_settings(args, TrackerParameters), playback,
                        [*(word for remap in remaps for word in ('-r', remap)), *args.ros_args])
