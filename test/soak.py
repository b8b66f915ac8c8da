"""Runs the tracker node for minutes while a camera misbehaves, and accounts for every frame.

`python test/soak.py --minutes 60` sends the bundled clip over and over to a node in a process of its own, with faults
in between: damaged images, wrong sizes and encodings, cameras that are none, stamps that jump, frame ids without end, a
second publisher, parameters that cannot be, rubbish on other topics. It prints memory, delay and the account once a
minute; 1 where a frame is missing, memory grew, or the node ended.
"""

from __future__ import annotations

import argparse
import array
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402

from hand_pose_ros.cli.processes import NodeProcess, prepare_to_host_nodes  # noqa: E402

#: Memory may grow by so much after the first tenth of the time, megabytes.
GROWTH_MB = 60
#: Once in so many frames something is wrong.
FAULT_EVERY = 8
RATE_HZ = 15.0
#: A publisher is connected after so long, on a busy machine too.
CONNECTION_S = 5.0


def resident_mb(pid: int) -> float:
    """Memory of a process, megabytes."""
    line = next(one for one in Path(f'/proc/{pid}/status').read_text().splitlines() if one.startswith('VmRSS'))
    return int(line.split()[1]) / 1024


class Camera:
    """A camera of the test: publishes frames, good ones and others, and listens to what the tracker says of them."""

    def __init__(self, namespace: str, rng: random.Random) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import CameraInfo, Image, PointCloud2
        from std_msgs.msg import String

        from hand_pose_ros import topics
        from hand_pose_ros.io.recording import open_recording
        from hand_pose_ros.nodes.qos import OUT

        self.rng, self._image, self._topics = rng, Image, topics
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context)
        self.node = rclpy.create_node('soak_camera', namespace=namespace, context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._out = OUT
        self.images = self.node.create_publisher(Image, topics.DEPTH_IMAGE, OUT)
        self.infos = self.node.create_publisher(CameraInfo, topics.DEPTH_CAMERA_INFO, OUT)
        self.events = self.node.create_publisher(String, topics.EVENTS, OUT)
        self.node.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, 10)
        self.node.create_subscription(PointCloud2, topics.KEYPOINTS, self._on_keypoints, OUT)
        self.frames = cycle(list(open_recording(ROOT / 'demo' / 'clip')))
        self.sent, self.delays = 0, list[float]()
        self.faults: Counter[str] = Counter()
        self.status: dict[str, str] = {}
        self._when: dict[tuple[int, int], float] = {}
        self._offset_s = 0.0

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            if status.name.startswith(f'{self.node.get_namespace().strip("/")}/'):  # all trackers share the topic
                self.status = {value.key: value.value for value in status.values}

    def _on_keypoints(self, message: Any) -> None:
        sent = self._when.pop((message.header.stamp.sec, message.header.stamp.nanosec), None)
        if sent is not None:
            self.delays.append(time.monotonic() - sent)

    def accounted(self) -> int:
        """Frames that the tracker processed, refused or dropped, by its diagnostics."""
        return sum(int(self.status.get(f'frames {what}', 0)) for what in ('processed', 'refused', 'dropped'))

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def message(self, frame_id: str = 'camera_depth_optical_frame') -> tuple[Any, Any]:
        """The next good frame: image and CameraInfo."""
        from std_msgs.msg import Header

        from hand_pose_ros.nodes.messages import camera_info_message, image_message

        frame = next(self.frames)
        now = time.time() + self._offset_s
        header = Header(frame_id=frame_id)
        header.stamp.sec, header.stamp.nanosec = int(now), int(now % 1 * 1e9)
        image = image_message(header, frame.depth.pixels, '16UC1')
        return image, camera_info_message(header, frame.camera)

    def send(self, image: Any, info: Any, publisher: Any = None) -> None:
        if info is not None:
            self.infos.publish(info)
        if len(self._when) > 1000:
            self._when.clear()
        self._when[image.header.stamp.sec, image.header.stamp.nanosec] = time.monotonic()
        (publisher or self.images).publish(image)
        self.sent += 1

    # Faults: each sends one frame or more.

    def wrong_step(self) -> None:
        image, info = self.message()
        image.step = self.rng.choice((0, 1, image.width, 2**31))
        self.send(image, info)

    def cut_short(self) -> None:
        image, info = self.message()
        image.data = image.data[: self.rng.randrange(len(image.data))]
        self.send(image, info)

    def other_size(self) -> None:
        image, info = self.message()
        image.width, image.height = self.rng.choice(((0, 0), (2**32 - 1, 2**32 - 1), (image.height, image.width)))
        self.send(image, info)

    def other_encoding(self) -> None:
        image, info = self.message()
        image.encoding = self.rng.choice(('', 'rgb8', '32FC1', '64FC3', 'x' * 10_000, '\x1b[2J'))
        self.send(image, info)

    def noise(self) -> None:
        image, info = self.message()
        image.data = array.array('B', self.rng.randbytes(len(image.data)))
        self.send(image, info)

    def holes(self) -> None:
        image, info = self.message()
        image.data = array.array('B', bytes(len(image.data)))
        self.send(image, info)

    def bad_camera(self) -> None:
        image, info = self.message()
        info.k = [self.rng.choice((0.0, float('nan'), float('inf'), -1.0, 1e300)) for _ in range(9)]
        self.send(image, info)
        self.send(*self.message())

    def bad_distortion(self) -> None:
        image, info = self.message()
        info.d, info.distortion_model = (
            array.array('d', [float('nan')] * 5),
            self.rng.choice(('plumb_bob', 'fisheye', '')),
        )
        self.send(image, info)
        self.send(*self.message())

    def frame_ids(self) -> None:
        for _ in range(5):
            self.send(*self.message(f'frame_{self.rng.randrange(10**9)}'))
            self.spin(1 / RATE_HZ)

    def jump_of_time(self) -> None:
        self._offset_s = self.rng.choice((-3600.0, -0.5, 0.0, 3600.0))
        self.send(*self.message())

    def silence(self) -> None:
        self.spin(self.rng.uniform(0.5, 3))

    def burst(self) -> None:
        for _ in range(20):
            self.send(*self.message())

    def second_publisher(self) -> None:
        """Another camera on the same topic for a while, numbered anew.

        Its first and its last image are waited for: nobody can count what came before the first number or after the
        last one that is heard of a publisher.
        """
        other = self.node.create_publisher(self._image, self._topics.DEPTH_IMAGE, self._out)
        end = time.monotonic() + 10
        while not other.get_subscription_count() and time.monotonic() < end:
            self.spin(0.1)
        self.spin(CONNECTION_S)  # that it is known here does not mean that it is connected there
        self.send(*self.message(), other)
        self.spin(2.0)
        for publisher in (other, None) * 8:
            self.send(*self.message(), publisher)
            self.spin(0.5 / RATE_HZ)
        self.spin(2.0)
        self.send(*self.message(), other)
        self.spin(2.0)
        self.node.destroy_publisher(other)

    def rubbish_elsewhere(self) -> None:
        from std_msgs.msg import String

        for text in ('', '{', '[' * 5000, '{"what": "primary", "track": 1e999}', '\x1b[2J'):
            self.events.publish(String(data=text))

    def impossible_parameter(self) -> None:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        client = self.node.create_client(SetParameters, 'hand_tracker/set_parameters')
        name, value = self.rng.choice((('near', -1.0), ('max_hands', 99), ('model', '\x1b[2J'), ('far', float('nan'))))
        if client.wait_for_service(1.0):
            future = client.call_async(
                SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
            )
            end = time.monotonic() + 5
            while not future.done() and time.monotonic() < end:
                self.spin(0.05)
            if future.done() and name != 'far' and any(result.successful for result in future.result().results):
                raise SystemExit(f'soak: the node took {name} = {value!r}')
        self.node.destroy_client(client)

    def fault(self) -> None:
        """One fault, drawn."""
        kinds: tuple[Callable[[], None], ...] = (
            self.wrong_step, self.cut_short, self.other_size, self.other_encoding, self.noise, self.holes,
            self.bad_camera, self.bad_distortion, self.frame_ids, self.jump_of_time, self.silence, self.burst,
            self.second_publisher, self.rubbish_elsewhere, self.impossible_parameter,
        )  # fmt: skip
        chosen = self.rng.choice(kinds)
        chosen()
        self.faults[chosen.__name__] += 1

    def settled(self) -> Iterator[int]:
        """Frames not accounted for, second after second, until there are none."""
        for _ in range(20):
            self.spin(1.0)
            yield self.sent - self.accounted()
            if self.sent == self.accounted():
                return


def start(camera: Camera) -> None:
    """Send frames until the tracker has processed some, then count from there."""
    end = time.monotonic() + 180
    while int(camera.status.get('frames processed', 0)) < 5:
        if time.monotonic() > end:
            raise SystemExit('soak: the tracker processed nothing within three minutes')
        camera.send(*camera.message())
        camera.spin(0.2)
    before = -1
    while camera.accounted() != before:
        before = camera.accounted()
        camera.spin(2.5)
    camera.sent = before
    camera.delays.clear()


def line(camera: Camera, minutes: float, memory_mb: float, log_kb: float) -> str:
    """One line of the report."""
    median, late = np.percentile(1000 * np.array(camera.delays[-5000:] or [np.nan]), (50, 95))
    unaccounted = camera.sent - camera.accounted()
    return (
        f'{minutes:6.1f} {memory_mb:11.1f} {median:12.1f} {late:9.1f} {camera.sent:13d} {unaccounted:13d} {log_kb:8.1f}'
    )


def main() -> int:
    """Run the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=60.0)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--model', default='srn', help='pose network. Default: %(default)s')
    args = parser.parse_args()
    prepare_to_host_nodes()
    namespace = f'/soak_{os.getpid()}'
    with (
        tempfile.TemporaryDirectory() as folder,
        NodeProcess('tracker', namespace, {'model': args.model}, Path(folder) / 'tracker.log') as tracker,
    ):
        camera = Camera(namespace, random.Random(args.seed))
        start(camera)
        begun = minute = time.monotonic()
        end, settled_mb, worst_mb = begun + 60 * args.minutes, 0.0, 0.0
        print('minute   memory MB   delay ms median, 95 %   frames sent   unaccounted   log kB', flush=True)
        while time.monotonic() < end:
            if camera.rng.randrange(FAULT_EVERY):
                camera.send(*camera.message())
            else:
                camera.fault()
            camera.spin(1 / RATE_HZ)
            if tracker.exit_code() is not None:
                raise SystemExit(f'soak: {tracker.failure()}')
            now = time.monotonic()
            if now - minute > min(60.0, 6 * args.minutes) or now > end:
                minute, memory = now, resident_mb(tracker.pid)
                settled_mb = memory if now - begun <= 6.5 * args.minutes or not settled_mb else settled_mb
                worst_mb = max(worst_mb, memory)
                print(line(camera, (now - begun) / 60, memory, tracker.log.stat().st_size / 1000), flush=True)
        *_, missing = camera.settled()
        grown = worst_mb - settled_mb
        print(f'faults: {", ".join(f"{name} {count}" for name, count in sorted(camera.faults.items()))}')
        print(
            f'{camera.sent} frames: {camera.status["frames processed"]} processed, {camera.status["frames refused"]} '
            f'refused, {camera.status["frames dropped"]} dropped, {missing} not accounted for; memory grew by '
            f'{grown:.1f} MB; {tracker.log.stat().st_size / 1000:.1f} kB of log'
        )
        camera.node.destroy_node()
        camera.context.try_shutdown()
        return int(bool(missing) or grown > GROWTH_MB)


if __name__ == '__main__':
    sys.exit(main())
