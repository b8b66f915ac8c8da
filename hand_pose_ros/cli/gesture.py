"""``hand-pose gesture``: the gestures that there are, and recording one's own."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from hand_pose_ros.cli.arguments import (
    NODE_SETTINGS,
    add_recording_arguments,
    add_tracker_arguments,
    open_input,
    tracker_settings,
)
from hand_pose_ros.cli.streams import say
from hand_pose_ros.geometry.joints import SIDES

if TYPE_CHECKING:
    import numpy as np

#: Seconds that are waited for a first hand.
PATIENCE_S = 15.0


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command and its two parts to the command line."""
    parser = subparsers.add_parser('gesture', help="list gestures, or record one's own")
    parts = parser.add_subparsers(dest='part', metavar='PART', required=True)
    listing = parts.add_parser('list', help='name every gesture, and what it is')
    record = parts.add_parser(
        'record',
        help="record a hand's form as a gesture",
        description='Takes some seconds of a hand that holds a form, and adds it to a file of gestures: 20 angles and '
        "a tolerance. The hand comes from a recording or a webcam, or, without INPUT, from a running tracker's topics.",
    )
    for one in (listing, record):
        one.add_argument(
            '--gestures-file',
            metavar='YAML',
            default='',
            help="people's own gestures. Default: hand_pose_ros/gestures.yaml in the configuration folder (~/.config)",
        )
    record.add_argument('name', metavar='NAME', help='of the gesture: lower case letters, digits and _')
    record.add_argument('input', metavar='INPUT', nargs='?', help='a rosbag2, folder of images, video or webcam')
    record.add_argument('--seconds', type=_seconds, default=3.0, metavar='S', help='to record for. Default: 3')
    record.add_argument(
        '--start', type=float, default=0.0, metavar='S', help='of INPUT to leave out before. Default: 0'
    )
    record.add_argument('--side', choices=SIDES, help='hand that holds the form. Default: the one seen more often')
    add_recording_arguments(record)
    add_tracker_arguments(record, skip=NODE_SETTINGS)


def run(args: argparse.Namespace) -> int:
    """Run a part of the command."""
    return _list(args) if args.part == 'list' else _record(args)


def _list(args: argparse.Namespace) -> int:
    from hand_pose_ros.gestures.describe import describe_library
    from hand_pose_ros.gestures.library import load_library

    for section, rows in describe_library(load_library(args.gestures_file)).items():
        say(section)
        width = max((len(name) for name, _ in rows), default=0)
        for name, what in rows:
            say(f'  {name:{width}}  {what}')
    return 0


def _record(args: argparse.Namespace) -> int:
    from hand_pose_ros.gestures.library import check_name, own_gestures_file, shipped_library
    from hand_pose_ros.gestures.recognition import recognize
    from hand_pose_ros.gestures.recording import make_form, save_form

    check_name(args.name, 'gesture record')
    path = own_gestures_file(args.gestures_file)
    if path is None:
        raise ValueError('there is no home folder to keep gestures in: name a file by --gestures-file')
    hands = _from_recording(args) if args.input else _from_topics(args)
    side = args.side or max(SIDES, key=lambda one: len(hands[one]))
    form = make_form(args.name, hands[side], side)
    replaced = save_form(path, form)
    names = [recognize(joints, side).name for joints in hands[side]]
    usual = max(set(names), key=names.count)
    like = '' if usual in ('none', args.name) else f'; so far it was recognized as {usual}'
    say(
        f'{args.name}: {len(names)} frames of the {side} hand, tolerance {form.tolerance_deg:g} degrees{like}; '
        f'{"replaced" if replaced else "added"} in {path}'
    )
    if args.name in shipped_library().names:
        print(f'it takes the place of the shipped {args.name}', file=sys.stderr)
    return 0


def _from_recording(args: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    """Joints of the hands of a recording or a webcam by side, for as long as asked."""
    from hand_pose_ros.tracking.factory import make_tracker

    recording, settings = open_input(args, tracker_settings(args))
    tracker = make_tracker(settings)
    found: dict[str, list[np.ndarray]] = {side: [] for side in SIDES}
    first: float | None = None
    for index, recorded in enumerate(recording):
        if index == args.limit:
            break
        first = recorded.stamp if first is None else first
        if recorded.stamp - first < args.start:
            continue
        if recorded.stamp - first > args.start + args.seconds:
            break
        for hand in tracker.process(recorded.camera_frame()):
            found[hand.side].append(hand.joints)
    return found


def _from_topics(args: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    """Joints of the hands that a running tracker publishes by side, for as long as asked."""
    from hand_pose_ros.cli.processes import require_ros

    require_ros('recording a gesture without INPUT')
    from hand_pose_ros.nodes.joint_listener import listen

    print(f'hold the form before the camera ({time.strftime("%H:%M:%S")}) ...', file=sys.stderr)
    found = listen(args.seconds, PATIENCE_S, lambda: print(f'recording for {args.seconds:g} s', file=sys.stderr))
    if not any(found.values()):
        raise ValueError(
            f'no hand came on hands/<side>/joints within {PATIENCE_S:.0f} s: start the tracker, or name an INPUT'
        )
    return found


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.2 <= value <= 60:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of seconds from 0.2 to 60')
    return value
