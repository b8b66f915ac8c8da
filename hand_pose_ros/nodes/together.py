"""The nodes in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hand_pose_ros.nodes.parameters import parameter_overrides
from hand_pose_ros.nodes.playback import PlaybackNode
from hand_pose_ros.nodes.process import run_nodes
from hand_pose_ros.nodes.tracker import TrackerNode


def run_together(tracker: Mapping[str, Any], playback: Mapping[str, Any], ros_args: Sequence[str]) -> int:
    """Run the tracker, and the playback of a recording where ``playback`` has an ``input``.

    Args:
        tracker: settings of the tracker that differ from their defaults.
        playback: the same of the playback.
        ros_args: ROS arguments for both, without ``--ros-args``.

    Returns:
        The exit code, as :func:`run_nodes` says; the end of the recording is the end of the process.

    """

    def make_playback() -> PlaybackNode:
        return PlaybackNode(parameter_overrides=parameter_overrides(playback))

    def make_tracker() -> TrackerNode:
        return TrackerNode(parameter_overrides=parameter_overrides(tracker))

    # The recording first: it is opened faster than a model is loaded, and waits for the tracker to subscribe.
    return run_nodes(
        [make_playback, make_tracker] if playback.get('input') else [make_tracker], ['--ros-args', *ros_args]
    )
