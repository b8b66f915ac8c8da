"""``python -m training``: finds the sub-command's module, and turns its errors into one line."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from training.registry import TrainingError

#: Sub-commands, each a module of ``training.commands`` (``-`` as ``_``) with ``HELP``, ``add_arguments(parser)`` and
#: ``run(arguments)``, which raises TrainingError.
COMMANDS = (
    'train',
    'train-heads',
    'draw',
    'evaluate',
    'compare',
    'export',
    'quantize',
    'from-onnx',
    'average',
    'shrink',
    'fit-seeds',
    'make-clip',
    'make-hand-model',
    'fit-mediapipe',
    'photographs',
    'label-photographs',
    'list',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands."""
    parser = argparse.ArgumentParser(
        prog='python -m training',
        description='Train, evaluate and ship networks for hands. docs/develop/ has a page for a network, a dataset '
        'and a recipe of your own.',
    )
    parser.add_argument('--traceback', action='store_true', help='show where an error came from')
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for command in COMMANDS:
        module = importlib.import_module(f'training.commands.{command.replace("-", "_")}')
        sub = subparsers.add_parser(command, help=module.HELP, description=module.__doc__)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    given = build_parser().parse_args(arguments)
    try:
        given.run(given)
    except (TrainingError, OSError) as error:
        if given.traceback:
            raise
        print(f'python -m training {given.command}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
