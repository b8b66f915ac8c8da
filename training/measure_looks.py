"""What further looks at a hand save: ``python -m training.measure_looks [MODEL]``.

Prints the mean error on the first crops of the validation set, of one look at each and of several that show it turned,
merged as the tracker merges them; and as the tracker looks by default, which is once at hands that are clear and at
others at every way round.
"""

from __future__ import annotations

import argparse

import numpy as np

from hand_pose_ros.estimation.pose import Cube, Pose, PoseEstimator, merge
from hand_pose_ros.localization.crop import CUBE_PER_HAND
from hand_pose_ros.parameters import LOOKS, PRECISIONS
from hand_pose_ros.pipeline.tracker import TURNED, is_clear
from training.pose_task import validation_set


def look_at_validation(description: str, count: int, turns: tuple[int, ...]) -> tuple[list[list[Pose]], np.ndarray]:
    """Look at crops of the validation set, with the model and as many as the command line says.

    Args:
        description: of the command.
        count: of the crops by default.
        turns: quarter turns of the looks at each.

    Returns:
        The poses of each crop's looks, and the true joints (N, 21, 3) in metres in the same frame.

    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('model', nargs='?', default='', help='a pose model of models/manifest.yaml, or an .onnx file; default the shipped one')
    parser.add_argument('--crops', type=int, default=count, help=f'how many of the validation set ({count})')
    parser.add_argument('--precision', choices=('auto', *PRECISIONS), default='f32', help='number format; default f32')
    arguments = parser.parse_args()
    estimator = PoseEstimator(arguments.model, precision=arguments.precision)
    crops, joints, halves = (part[:arguments.crops] for part in validation_set(estimator.input_size))
    # So far away, a cube's coordinates differ from metres by no more than its scale, as the validation has it.
    centre = np.array([0, 0, 1000.0])
    cubes = [Cube(centre, float(half) / CUBE_PER_HAND, 'right') for half in halves]
    looks = [estimator.estimate(crop[None, None], [cube], turns)[0] for crop, cube in zip(crops, cubes)]
    return looks, joints * halves[:, None, None] + centre


def main() -> None:
    """Run from the command line."""
    looks, truth = look_at_validation(__doc__.splitlines()[0], 1024, LOOKS[max(LOOKS)])

    def show(name: str, found: list[Pose]) -> None:
        errors = 1000 * np.linalg.norm(np.stack([pose.joints for pose in found]) - truth, axis=2)
        print(f'{name}: mean {errors.mean():.3f} mm, median {np.median(errors):.3f} mm, tips {errors[:, 4::4].mean():.2f} mm')

    for turns in LOOKS.values():
        show(f'{len(turns)} looks', [merge([poses[turn] for turn in turns]) for poses in looks])
    clear = [is_clear(poses[0]) for poses in looks]
    count = 1 + len(TURNED) * (1 - np.mean(clear))
    show(f'as the tracker looks by default, {count:.2f} in the mean',
         [poses[0] if once else merge([poses[turn] for turn in (0, *TURNED)]) for poses, once in zip(looks, clear)])


if __name__ == '__main__':
    main()
