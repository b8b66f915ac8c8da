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
from pathlib import Path
from tempfile import TemporaryDirectory

#: Width, height, images a second.
LOADS = ((640, 480, 90.0), (1280, 720, 30.0))
#: Parts that a run is seen in.
PARTS = 10
#: What may grow from the first parts, but for the very first, to the last ones: the delay in ms, and memory in MB.
MORE_DELAY, MORE_MEMORY = 5.0, 15.0
START_LIMIT = 30.0


def run(width: int, height: int, rate: float, minutes: float, count: int) -> bool:
    """Load a node; returns whether delay and memory stayed what they were."""
    import cv2
    import numpy as np
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from hand_pose_ros.cli.bench import load_frames, memory_mb
    from hand_pose_ros.cli.processes import NodeError, NodeProcess, prepare_to_host_nodes
    from hand_pose_ros.geometry.camera import Camera
    from hand_pose_ros.metrics import spread_ms
    from hand_pose_ros.nodes.latency import LatencyProbe
    from hand_pose_ros.resources import resource_path
    frames = load_frames(resource_path('demo', 'clip'), count)
    wide = frames.camera
    scale = height / wide.height
    # A wider image sees more of nothing at both sides.
    margin = (width - round(wide.width * scale)) // 2
    images = [cv2.copyMakeBorder(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST), 0, 0,
                                 margin, margin, cv2.BORDER_CONSTANT, value=0) for image in frames.images]
    camera = Camera(width, height, wide.fx * scale, wide.fy * scale, (wide.cx + 0.5) * scale - 0.5 + margin,
                    (wide.cy + 0.5) * scale - 0.5)
    source = type(frames)(frames.modality, images, camera).forth_and_back()
    assert images[0].shape == (height, width) and images[0].dtype == np.uint16
    prepare_to_host_nodes()
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    probe = LatencyProbe(f'/load_{os.getpid()}', context)
    rows = []
    print(f'{width}x{height} at {rate:.0f} Hz, {minutes:g} minutes\n'
          f'{"minute":>8} {"sent Hz":>8} {"answered":>9} {"dropped":>8} {"median ms":>10} {"95 % ms":>8} '
          f'{"memory MB":>10}')
    try:
        with TemporaryDirectory() as folder, NodeProcess('tracker', f'/load_{os.getpid()}', {},
                                                         Path(folder) / 'tracker.log') as node:
            end = time.monotonic() + START_LIMIT
            while not probe.ready():
                if node.exit_code() is not None or time.monotonic() > end:
                    raise NodeError(f'the tracker node does not answer: {node.last_line()}')
            begun = time.monotonic()
            for part in range(PARTS):
                found = probe.measure(source, '16UC1', camera, rate, 20 if part == 0 else 0, START_LIMIT,
                                      max(20, round(60 * minutes / PARTS * rate)))
                if node.exit_code() is not None:
                    raise node.failure()
                times = spread_ms([seconds for seconds in found if seconds is not None])
                answered = sum(seconds is not None for seconds in found) / len(found)
                rows.append((times['median'] if times else float('inf'), memory_mb(node.pid, 'VmRSS')))
                dropped = 'unknown' if probe.dropped is None else probe.dropped
                print(f'{(time.monotonic() - begun) / 60:8.2f} {probe.rate:8.1f} {answered:9.1%} {dropped:>8} '
                      f'{rows[-1][0]:10.1f} '
                      f'{times["p95"] if times else float("inf"):8.1f} {rows[-1][1]:10.1f}', flush=True)
    finally:
        probe.destroy_node()
        context.try_shutdown()
    delay, memory = (float(np.median(late) - np.median(early)) for early, late in zip(*(zip(*part) for part in (
        rows[1:4], rows[-3:]))))
    good = delay < MORE_DELAY and memory < MORE_MEMORY and probe.dropped is not None
    print(f'delay {delay:+.1f} ms, memory {memory:+.1f} MB: {"flat" if good else "NOT FLAT"}\n')
    return good


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
    parser.add_argument('--load', type=load, nargs='+', metavar='WIDTHxHEIGHT@HZ', default=LOADS,
                        help='images to send. Default: 640x480@90 1280x720@30')
    arguments = parser.parse_args()
    return 0 if all([run(*one, arguments.minutes, arguments.frames) for one in arguments.load]) else 1


if __name__ == '__main__':
    sys.exit(main())
