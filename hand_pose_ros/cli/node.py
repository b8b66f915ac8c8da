"""``hand-pose node``: the tracker, and with ``--input`` a camera that plays a recording, in one process."""

from __future__ import annotations

import argparse

from hand_pose_ros.cli.arguments import (
    add_graph_arguments,
    add_settings_arguments,
    add_tracker_arguments,
    given_settings,
    graph_arguments,
)
from hand_pose_ros.middleware import check_middleware
from hand_pose_ros.settings import PlaybackSettings, TrackerSettings, declared

#: Settings of both nodes have one flag, among the tracker's.
_SHARED = set.intersection(
    *({setting.name for setting in declared(kind)} for kind in (TrackerSettings, PlaybackSettings))
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        'node',
        help='run the ROS nodes in one process, without the launch system',
        description="Track the hands in a camera's topics, or with --input in a recording that is published "
        'as a camera would.',
    )
    add_graph_arguments(parser)
    add_tracker_arguments(parser)
    add_settings_arguments(parser, PlaybackSettings, 'playback', skip=_SHARED)


def run(args: argparse.Namespace) -> int:
    """Run the nodes until they are stopped, or the recording ends."""
    check_middleware()
    from hand_pose_ros.nodes.together import run_together

    playback = given_settings(args, PlaybackSettings)
    if not playback.get('input') and (stray := sorted(playback.keys() - _SHARED - {'input'})):
        raise ValueError(f'--{stray[0].replace("_", "-")} is for a recording; give it with --input')
    return run_together(given_settings(args, TrackerSettings), playback, graph_arguments(args))
