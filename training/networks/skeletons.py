"""The skeletons that networks estimate: ours of 21 joints, and those of the benchmarks."""

from __future__ import annotations

from hand_pose_ros.geometry.joints import BONES, JOINTS

Bones = tuple[tuple[int, int], ...]

OURS = 'ours'


def skeleton(name: str = OURS) -> tuple[int, Bones]:
    """Number of joints and bones, as pairs of joints, of our skeleton or of the benchmark called ``name``.

    Raises:
        ValueError: there is no such benchmark.

    """
    if name == OURS:
        return len(JOINTS), BONES
    from hand_pose_ros.io.benchmarks import find_benchmark

    benchmark = find_benchmark(name)
    return len(benchmark.joints), benchmark.bones
