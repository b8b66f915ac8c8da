"""The `hand-pose` command: finds the sub-command's module, and turns its errors into one line.

Little is imported before :func:`main` can answer for it: neither Ctrl-C nor a broken library may end in a traceback.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from hand_pose_ros import __version__
from hand_pose_ros.cli.streams import prepare_streams

#: Sub-commands, each a module of this package (`-` as `_`) with ``add_parser(subparsers)`` and
#: ``run(arguments) -> int``.
COMMANDS = (
    'track',
    'view',
    'evaluate',
    'score',
    'node',
    'demo',
    'bench',
    'build-engine',
    'models',
    'gesture',
    'urdf',
    'doctor',
)


def command_module(command: str) -> ModuleType:
    """Return the module of a sub-command."""
    return importlib.import_module(f'hand_pose_ros.cli.{command.replace("-", "_")}')


class _Parser(argparse.ArgumentParser):
    """Refuses what it does not know, such as the names of files that a shell put in, without a terminal's codes."""

    def error(self, message: str) -> NoReturn:
        from hand_pose_ros.files import printable

        super().error(printable(message))


def build_parser(commands: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of ``hand-pose`` with these sub-commands, whose modules it imports."""
    parser = _Parser(prog='hand-pose', description='Hand tracking in depth and color images, with and without ROS.')
    parser.add_argument('--version', action='version', version=f'hand_pose_ros {__version__}')
    parser.add_argument('--traceback', action='store_true', help='show where an error came from, for a bug report')
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for command in commands:
        command_module(command).add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``hand-pose`` with these arguments (those of the process by default).

    Returns:
        The sub-command's exit code; 2 for an error in what the user gave, after one line on stderr; 130 after Ctrl-C.

    """
    argv = sys.argv[1:] if argv is None else list(argv)
    named = next((argument for argument in argv if not argument.startswith('-')), None)
    try:
        prepare_streams()
        arguments = build_parser([named] if named in COMMANDS else COMMANDS).parse_args(argv)
        return command_module(arguments.command).run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe left, as `head` does. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        ours = type(error).__module__.startswith('hand_pose_ros.')
        if '--traceback' in argv or not (ours or isinstance(error, (ValueError, OSError, MemoryError, ImportError))):
            raise
        print(f'hand-pose: error: {describe(error)}', file=sys.stderr)
        return 2


def describe(error: Exception) -> str:
    """Return an error as one line that says what to do, as far as the error itself tells."""
    from hand_pose_ros.files import printable

    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f'this Python ({sys.executable}) has no module {error.name}; '
            '`hand-pose doctor` says how to get what is missing'
        )
    if isinstance(error, ImportError):
        return printable(f'a library cannot be loaded: {" ".join(str(error).split())}; `hand-pose doctor` says more')
    if isinstance(error, MemoryError):
        return f'there is too little memory on this machine for that{": " * bool(str(error))}{printable(str(error))}'
    # A file's name may hold what moves a terminal's cursor.
    return printable(' '.join(str(error).split())) or type(error).__name__


if __name__ == '__main__':
    sys.exit(main())
