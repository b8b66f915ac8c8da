"""The tracker for what a camera sees: depth or colour."""

from __future__ import annotations

from typing import Union

from hand_pose_ros.parameters import TrackerParameters
from hand_pose_ros.pipeline.color_tracker import ColorHandTracker
from hand_pose_ros.pipeline.tracker import HandTracker

Tracker = Union[HandTracker, ColorHandTracker]


def make_tracker(parameters: TrackerParameters) -> Tracker:
    """Make the tracker of ``parameters.modality``.

    Raises:
        ModelError: a model file is missing or damaged.
        EngineError: the engine is not installed.

    """
    return ColorHandTracker(parameters) if parameters.modality == 'rgb' else HandTracker(parameters)
