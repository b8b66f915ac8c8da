"""Command line flags made from the tracker's parameters, shared by the commands that run it."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import fields

from hand_pose_ros.parameters import TrackerParameters

#: Settings that mean something to a node only.
NODE_SETTINGS = ('image_transport', 'publish_tf', 'auto_activate')


def add_tracker_arguments(parser: argparse.ArgumentParser, skip: Collection[str] = ()) -> None:
    """Add one flag for each field of ``TrackerParameters`` that is not in ``skip``: ``max_hands`` is ``--max-hands``.

    Switches get a ``--no-`` form. :func:`tracker_parameters` turns the parsed flags into parameters.
    """
    group = parser.add_argument_group('tracker')
    for setting in fields(TrackerParameters):
        if setting.name in skip:
            continue
        name = '--' + setting.name.replace('_', '-')
        about = setting.metadata['description'].replace('%', '%%')
        if isinstance(setting.default, bool):
            action = group.add_argument(name, action=argparse.BooleanOptionalAction, dest=setting.name,
                                        help=f'{about} Default: {"on" if setting.default else "off"}.')
            action.default = setting.default   # Set late: some Python versions would add it to the help once more.
            continue
        default = '' if setting.default == '' else f' Default: {setting.default}.'
        group.add_argument(name, type=type(setting.default), default=setting.default,
                           choices=setting.metadata['choices'] or None,
                           metavar=None if setting.metadata['choices'] else setting.name.upper(),
                           help=about + default)


def tracker_parameters(args: argparse.Namespace) -> TrackerParameters:
    """Build the parameters from parsed flags; those that the parser does not have keep their defaults.

    Raises:
        ValueError: a value is out of its range; the message names the parameter.

    """
    given = vars(args)
    return TrackerParameters(**{s.name: given[s.name] for s in fields(TrackerParameters) if s.name in given})
