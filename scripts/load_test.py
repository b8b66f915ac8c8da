"""Load the tracker node as no camera does, and see that it stands: ``python scripts/load_test.py [--minutes 10]``.

A node in a process of its own gets the bundled clip with its two hands, first as 640x480 at 90 Hz, then as 1280x720 at
30 Hz, while someone listens to its joints. What must hold: late images are dropped and counted, not queued, so that the
delay of the joints does not grow, and memory stays flat. Prints the figures of every part of the run (the images
dropped are those since its start), and ends with code 1 where something of that does not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hand_pose_ros.cli.clip import Clip
    from hand_pose_ros.cli.processes import NodeProcess
    from hand_pose_ros.nodes.latency import LatencyProbe

#: Width, height, images a second.
LOADS = ((640, 480, 90.0), (1280, 720, 30.0))
#: Parts that a run is seen in.
PARTS = 10
#: What may grow from the first parts, but for the very first, to the last ones: the delay in ms, and memory in MB.
MORE_DELAY, MORE_MEMORY = 5.0, 15.0
START_LIMIT = 30.0


def run(width: int, height: int, rate: float, minutes: float, count: int) -> bool:
    """Load a node; returns whether delay and memory stayed what they were."""
    import numpy as np
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from hand_pose_ros.cli.measure import wait_until_ready
    from hand_pose_ros.cli.processes import NodeProcess, prepare_to_host_nodes
    from hand_pose_ros.nodes.latency import LatencyProbe

    clip = load_wide_clip(width, height, count)
    prepare_to_host_nodes()
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    namespace = f'/load_{os.getpid()}'
    probe = LatencyProbe(namespace, context)
    print(
        f'{width}x{height} at {rate:.0f} Hz, {minutes:g} minutes\n'
        f'{"minute":>8} {"sent Hz":>8} {"answered":>9} {"dropped":>8} {"median ms":>10} {"95 % ms":>8} '
        f'{"memory MB":>10}'
    )
    try:
        with (
            TemporaryDirectory() as folder,
            NodeProcess('tracker', namespace, {}, Path(folder) / 'tracker.log') as node,
        ):
            wait_until_ready(probe, node, START_LIMIT)
            rows = list(measure_parts(probe, node, clip, rate, minutes))
    finally:
        probe.destroy_node()
        context.try_shutdown()
    delay, memory = (
        float(np.median(late) - np.median(early))
        for early, late in zip(*(zip(*part) for part in (rows[1:4], rows[-3:])))
    )
    good = delay < MORE_DELAY and memory < MORE_MEMORY and probe.dropped is not None
    print(f'delay {delay:+.1f} ms, memory {memory:+.1f} MB: {"flat" if good else "NOT FLAT"}\n')
    return good


def measure_parts(
    probe: LatencyProbe, node: NodeProcess, clip: Clip, rate: float, minutes: float
) -> Iterator[tuple[float, float]]:
    """Send the clip part by part; yields the median delay in ms and the node's memory in MB, and prints both."""
    from hand_pose_ros.cli.measure import memory_mb
    from hand_pose_ros.evaluation.metrics import percentiles_ms

    begun, source = time.monotonic(), clip.forth_and_back()
    for part in range(PARTS):
        images = max(20, round(60 * minutes / PARTS * rate))
        found = probe.measure(source, rate, 0 if part else 20, START_LIMIT, images)
        if node.exit_code() is not None:
            raise node.failure()
        times = percentiles_ms([seconds for seconds in found if seconds is not None])
        times = times or {'median': float('inf'), 'p95': float('inf')}
        answered = sum(seconds is not None for seconds in found) / len(found)
        memory = memory_mb(node.pid, 'VmRSS') or 0.0
        dropped = 'unknown' if probe.dropped is None else probe.dropped
        print(
            f'{(time.monotonic() - begun) / 60:8.2f} {probe.rate:8.1f} {answered:9.1%} {dropped:>8} '
            f'{times["median"]:10.1f} {times["p95"]:8.1f} {memory:10.1f}',
            flush=True,
        )
        yield times['median'], memory


def load_wide_clip(width: int, height: int, count: int) -> Clip:
    """The bundled depth clip at another size; a wider image sees more of nothing at both sides."""
    import cv2

    from hand_pose_ros.cli.clip import Clip, load_clip
    from hand_pose_ros.core.frame import CameraFrame
    from hand_pose_ros.imaging.images import DepthImage

    clip = load_clip(None, 'depth', count)
    camera = clip.frames[0].camera
    scale = height / camera.height
    margin = (width - round(camera.width * scale)) // 2
    wide = replace(
        camera,
        width=width,
        height=height,
        fx=camera.fx * scale,
        fy=camera.fy * scale,
        cx=(camera.cx + 0.5) * scale - 0.5 + margin,
        cy=(camera.cy + 0.5) * scale - 0.5,
    )
    frames = []
    for frame in clip.frames:
        image = cv2.resize(frame.depth.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        image = cv2.copyMakeBorder(image, 0, 0, margin, margin, cv2.BORDER_CONSTANT, value=0)
        frames.append(CameraFrame(wide, depth=DepthImage(image, 0.001)))
    return Clip('depth', frames)


def load(text: str) -> tuple[int, int, float]:
    """Read ``640x480@90``: width, height, images a second."""
    size, rate = text.split('@')
    width, height = map(int, size.split('x'))
    return width, height, float(rate)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=10.0, help='of each load. Default: 10')
    parser.add_argument('--frames', type=int, default=225, help='images of the clip that are repeated. Default: all')
    parser.add_argument(
        '--load',
        type=load,
        nargs='+',
        metavar='WIDTHxHEIGHT@HZ',
        default=LOADS,
        help='images to send. Default: 640x480@90 1280x720@30',
    )
    arguments = parser.parse_args()
    results = [run(*one, arguments.minutes, arguments.frames) for one in arguments.load]
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())
