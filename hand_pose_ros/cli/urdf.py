"""``hand-pose urdf``: the human hand as a robot description."""

from __future__ import annotations

import argparse
from pathlib import Path

from hand_pose_ros.cli.streams import say
from hand_pose_ros.geometry.joints import SIDES

#: Palm lengths that make a hand, meters: below and above, it is a mistake in the unit.
SMALLEST, LARGEST = 0.03, 0.2


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'urdf',
        help='the human hand as URDF, with joints named as in joint_states',
        description='Writes the hand model as a robot description: 22 joints, named as in hands/<side>/joint_states, '
        'their limits, and a mesh for each bone. Its root hangs on the frame <side>_hand_wrist.',
    )
    parser.add_argument('--side', choices=SIDES, required=True, help="the person's own")
    parser.add_argument(
        '--size',
        metavar='M',
        type=float,
        help="length of the palm, wrist to knuckles, meters: 0.095 is a grown person's. Default: the model's own",
    )
    parser.add_argument('--hand-model', metavar='FILE', default='', help='another hand model. Default: the one shipped')
    parser.add_argument('--out', metavar='DIR', type=Path, required=True, help='folder of the URDF and its meshes')


def run(args: argparse.Namespace) -> int:
    """Write the files, and say which."""
    from hand_pose_ros.hand_model.loading import load_hand_models
    from hand_pose_ros.robots.urdf import write_hand_urdf

    if args.size is not None and not SMALLEST <= args.size <= LARGEST:
        raise ValueError(f'--size {args.size:g}: a palm is {SMALLEST} to {LARGEST} m long')
    models = load_hand_models(args.hand_model)
    model = next((model for model in models if model.side == args.side), None) or models[0].mirrored()
    say(str(write_hand_urdf(args.out, model, args.size)))
    return 0
