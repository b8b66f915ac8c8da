"""Run nodes as a process does."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rclpy
from rclpy.exceptions import NotInitializedException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from hand_pose_ros.files import printable
from hand_pose_ros.middleware import make_room_for_images

#: Seconds within which rclpy has taken note of a signal.
SIGNAL_DELAY_S = 0.5


def run_nodes(makers: Sequence[Callable[[], Node]], args: Sequence[str] | None = None) -> int:
    """Make nodes and spin them until the process gets a signal, or a node with a future ``done`` completes it.

    Ctrl-C lets what is being done end; a second one breaks into it.

    Args:
        makers: each makes a node, once ROS is up. A ValueError or OSError, for a setting or a file that cannot be
            used, is written to stderr.
        args: command line, ``--ros-args`` included; that of the process by default.

    Returns:
        The exit code: 0, 2 after such an error, or what the future holds.

    """
    make_room_for_images()
    with _interrupt_left_to_ros() as interrupted:
        return _run(makers, args, interrupted)


def _run(makers: Sequence[Callable[[], Node]], args: Sequence[str] | None, interrupted: threading.Event) -> int:
    try:
        rclpy.init(args=None if args is None else list(args))
    except RuntimeError as error:  # All of rclpy's own errors, here wrong ROS arguments, are of this kind.
        return _complain(error)
    nodes: list[Node] = []
    executor = SingleThreadedExecutor()
    try:
        if interrupted.is_set():  # before rclpy listened
            return 0
        try:
            for make in makers:
                nodes.append(make())
        except (ValueError, OSError, MemoryError) as error:
            return _complain(error)
        for node in nodes:
            executor.add_node(node)
        ends = [node.done for node in nodes if hasattr(node, 'done')]
        if not ends:
            executor.spin()
            return 0
        executor.spin_until_future_complete(ends[0])
        return ends[0].result() or 0
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except (RuntimeError, NotInitializedException):
        if not _ended_by_signal():
            raise
        return 0  # A signal ended ROS while a node was being made, or a message was on its way in or out.
    finally:
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()


@contextmanager
def _interrupt_left_to_ros() -> Iterator[threading.Event]:
    """Let the first interrupt only end ROS, which rclpy sees to and which ends the spinning; gives whether it came.

    Python's own answer, an exception wherever the program happens to be, leaves rclpy's objects half made. To be
    entered before rclpy begins to listen to signals.
    """
    interrupted = threading.Event()

    def first(number: int, frame: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    main = threading.current_thread() is threading.main_thread()  # no other may set handlers
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupted
        return
    signal.signal(signal.SIGINT, first)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _ended_by_signal() -> bool:
    """Whether a signal has ended ROS, which rclpy does in a thread of its own, a little after it broke into a call."""
    until = time.monotonic() + SIGNAL_DELAY_S
    while rclpy.ok() and time.monotonic() < until:
        time.sleep(0.01)
    return not rclpy.ok()


def _complain(error: Exception) -> int:
    print(printable(f'{Path(sys.argv[0]).stem}: error: {error}'), file=sys.stderr)
    return 2
