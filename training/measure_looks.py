"""What further looks at a hand save: ``python -m training.measure_looks [MODEL]``.

Prints the mean error on the first crops of the validation set, of one look at each and of several that show it turned,
merged as the tracker merges them.
"""

from __future__ import annotations

import argparse

import numpy as np

from hand_pose_ros.estimation.pose import Cube, Pose, PoseEstimator, merge
from hand_pose_ros.localization.crop import CUBE_PER_HAND
from hand_pose_ros.parameters import LOOKS
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
    arguments = parser.parse_args()
    estimator = PoseEstimator(arguments.model, 'onnxruntime', precision='f32')
    crops, joints, halves = (part[:arguments.crops] for part in validation_set(estimator.input_size))
    # So far away, a cube's coordinates differ from metres by no more than its scale, as the validation has it.
    centre = np.array([0, 0, 1000.0])
    cubes = [Cube(centre, float(half) / CUBE_PER_HAND, 'right') for half in halves]
    looks = [estimator.estimate(crop[None, None], [cube], turns)[0] for crop, cube in zip(crops, cubes)]
    return looks, joints * halves[:, None, None] + centre


def main() -> None:
    """Run from the command line."""
    looks, truth = look_at_validation(__doc__.splitlines()[0], 1024, LOOKS[max(LOOKS)])
    for turns in LOOKS.values():
        found = np.stack([merge([poses[turn] for turn in turns]).joints for poses in looks])
        errors = 1000 * np.linalg.norm(found - truth, axis=2)
        print(f'{len(turns)} looks: mean {errors.mean():.3f} mm, median {np.median(errors):.3f} mm, tips {errors[:, 4::4].mean():.2f} mm')


if __name__ == '__main__':
    main()
