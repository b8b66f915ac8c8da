"""Command line flags made from declared settings, shared by the commands that use them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hand_pose_ros import topics
from hand_pose_ros.parameters import MODALITIES, Settings, TrackerParameters

if TYPE_CHECKING:
    from hand_pose_ros.io.frame import Recording

#: Settings that mean something to a node only; a recording says itself what it is of.
NODE_SETTINGS = ('modality', 'image_transport', 'publish_tf', 'auto_activate')

_CAMERA_TOPICS = tuple(topic for modality in MODALITIES for topic in topics.inputs(modality))


def add_settings_arguments(parser: argparse.ArgumentParser, kind: type[Settings], title: str,
                           skip: Collection[str] = (), own: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Add one flag for each field of ``kind`` that is not in ``skip``: ``max_hands`` is ``--max-hands``.

    Switches get a ``--no-`` form. Flags that are not given leave nothing behind; :func:`given_settings` returns the
    others, and those for which the command has a default of its ``own``.
    """
    group = parser.add_argument_group(title)
    for setting in fields(kind):
        if setting.name in skip:
            continue
        name = '--' + setting.name.replace('_', '-')
        about = setting.metadata['description'].replace('%', '%%')
        default = own.get(setting.name, setting.default)
        if isinstance(setting.default, bool):
            group.add_argument(name, action=argparse.BooleanOptionalAction, dest=setting.name,
                               default=own.get(setting.name, argparse.SUPPRESS),
                               help=f'{about} Default: {"on" if default else "off"}.')
            continue
        group.add_argument(name, type=type(setting.default), default=own.get(setting.name, argparse.SUPPRESS),
                           choices=setting.metadata['choices'] or None,
                           metavar=None if setting.metadata['choices'] else setting.name.upper(),
                           help=about + ('' if default == '' else f' Default: {default}.'))


def given_settings(args: argparse.Namespace, kind: type[Settings]) -> dict[str, Any]:
    """Return the settings of ``kind`` whose flags were given, by name."""
    given = vars(args)
    return {setting.name: given[setting.name] for setting in fields(kind) if setting.name in given}


def add_tracker_arguments(parser: argparse.ArgumentParser, skip: Collection[str] = (),
                          own: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Add the flags of ``TrackerParameters``, see :func:`add_settings_arguments`."""
    add_settings_arguments(parser, TrackerParameters, 'tracker', skip, own)


def add_graph_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where in the ROS graph a node is: namespace, camera topics and any ROS arguments."""
    group = parser.add_argument_group('ROS')
    for topic in _CAMERA_TOPICS:
        group.add_argument('--' + topic.replace('/', '-').replace('_', '-'), dest=topic, metavar='TOPIC', default=topic,
                           help=f'topic to read for {topic}. Default: %(default)s.')
    group.add_argument('--namespace', default='', help='ROS namespace of nodes and topics.')
    group.add_argument('--ros-args', nargs=argparse.REMAINDER, default=[],
                       help='ROS arguments, as every node takes them; the last flag.')


def graph_arguments(args: argparse.Namespace) -> list[str]:
    """Return the ROS arguments, without ``--ros-args``, that the flags of :func:`add_graph_arguments` stand for."""
    remaps = [f'{topic}:={vars(args)[topic]}' for topic in _CAMERA_TOPICS]
    if args.namespace:
        remaps.append(f'__ns:=/{args.namespace.strip("/")}')
    return [*(word for remap in remaps for word in ('-r', remap)), *args.ros_args]


def tracker_parameters(args: argparse.Namespace) -> TrackerParameters:
    """Build the parameters from parsed flags; those that were not given keep their defaults.

    Raises:
        ValueError: a value is out of its range; the message names the parameter.

    """
    return TrackerParameters(**given_settings(args, TrackerParameters))


def check_limit(args: argparse.Namespace) -> None:
    """Raise ValueError where ``--limit`` leaves nothing to do."""
    if args.limit is not None and args.limit < 1:
        raise ValueError(f'--limit {args.limit}: give a whole number above 0')


def for_recording(parameters: TrackerParameters, recording: Recording) -> TrackerParameters:
    """Set the modality that a recording asks for, and tell people what was assumed about it."""
    if recording.note:
        print(f'{recording.path}: {recording.note}', file=sys.stderr)
    return replace(parameters, modality=recording.tracker_modality)
