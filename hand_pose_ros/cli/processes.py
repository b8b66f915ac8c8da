"""The package's nodes as processes of their own, for the commands that watch them from outside."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hand_pose_ros.cli.arguments import tracker_settings
from hand_pose_ros.cli.interruption import on_termination
from hand_pose_ros.middleware import check_middleware, make_room_for_images
from hand_pose_ros.settings import TrackerSettings, flat

#: Loaded before anything is forked; of Linux's prctl.
_C_LIBRARY = ctypes.CDLL(None) if sys.platform.startswith('linux') else None
_PR_SET_PDEATHSIG = 1


class NodeError(RuntimeError):
    """A node could not be run or did not do its part; one line that says why."""


def require_ros(command: str) -> None:
    """Make sure that the nodes can run here.

    Raises:
        NodeError: this Python has no rclpy; the message says how to get it.

    """
    if find_spec('rclpy') is None:
        raise NodeError(
            f'{command} runs the real ROS nodes, and this Python ({sys.executable}) has no rclpy: '
            'run "make setup" in a checkout, or source a ROS distribution; '
            '"hand-pose track" works without ROS'
        )
    try:
        check_middleware()
    except ValueError as error:
        raise NodeError(str(error)) from error


def prepare_to_host_nodes() -> None:
    """Prepare this process for starting nodes.

    Discovery, of this process and those it starts, does not reach into a network, unless the user chose so; images
    fit into the middleware's shared memory; and a request to terminate ends this process in order, so that its nodes
    end with it.
    """
    if 'ROS_LOCALHOST_ONLY' not in os.environ:
        os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    make_room_for_images()
    on_termination(lambda number, _: sys.exit(128 + number))


def end_with_parent() -> None:
    """Have this process, just forked, end when the one that started it does, however that ends; on Linux only.

    What a child of ours holds open, such as a port, must not outlive us.
    """
    if _C_LIBRARY is not None:
        _C_LIBRARY.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def changed_tracker_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Return the tracker's parameters that differ from their defaults.

    Raises:
        ValueError: a value is out of its range.

    """
    defaults = flat(TrackerSettings())
    return {name: value for name, value in flat(tracker_settings(args)).items() if value != defaults[name]}


class NodeProcess:
    """A node of ``hand_pose_ros.nodes`` in a process of its own; as a context manager it is stopped at the end."""

    def __init__(self, module: str, namespace: str, parameters: Mapping[str, Any], log: Path) -> None:
        """Start it.

        Args:
            module: module in ``hand_pose_ros.nodes``.
            namespace: namespace of the node and its topics.
            parameters: its parameters.
            log: file for what it writes.

        """
        self.name, self.log = module, log
        arguments = ['--ros-args', '-r', f'__ns:={namespace}']
        for name, value in parameters.items():
            arguments += ['-p', f'{name}:={json.dumps(value)}']  # which YAML includes
        with open(log, 'wb') as output:
            # A session of its own, so that Ctrl-C reaches it through __exit__ only, after the last results are in.
            self._process = subprocess.Popen(
                [*self.command(module), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @staticmethod
    def command(module: str) -> list[str]:
        """Return the command that runs the node."""
        return [sys.executable, '-m', f'hand_pose_ros.nodes.{module}']

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._process.poll()

    def failure(self) -> NodeError:
        """Describe its end."""
        return NodeError(f'the {self.name} node ended with code {self.exit_code()}: {self.last_line()}')

    def last_line(self) -> str:
        """Return the last line that it wrote."""
        lines = self.log.read_text(errors='replace').strip().splitlines()
        return lines[-1].strip() if lines else 'nothing was written'

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        for number, patience in ((signal.SIGINT, 5.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, None)):
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
