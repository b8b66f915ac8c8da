"""How well gestures survive a network's errors: ``python -m training.measure_gestures [MODEL]``.

On the first crops of the validation set, compares the gesture of the joints that are found, with one look at each, with
the gesture of the true joints.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from hand_pose_ros.estimation.pose import Cube, PoseEstimator
from hand_pose_ros.gestures import GESTURES, NONE, recognise
from hand_pose_ros.localization.crop import CUBE_PER_HAND
from training.pose_task import validation_set


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', nargs='?', default='', help='a pose model of models/manifest.yaml, or an .onnx file; default the shipped one')
    parser.add_argument('--crops', type=int, default=4096, help='how many of the validation set (4096)')
    arguments = parser.parse_args()
    estimator = PoseEstimator(arguments.model, 'onnxruntime', precision='f32')
    crops, joints, halves = (part[:arguments.crops] for part in validation_set(estimator.input_size))
    # The camera's up means nothing in these crops: thumbs up and down are as likely.
    truth = [recognise(one) for one in joints]
    cubes = [Cube(np.array([0, 0, 1000.0]), float(half) / CUBE_PER_HAND, 'right') for half in halves]
    found = [recognise(estimator.estimate(crop[None, None], [cube], (0,))[0][0].joints) for crop, cube in zip(crops, cubes)]
    pairs = Counter(zip(truth, found))
    print('gesture        hands   right  none  another, %')
    for name in GESTURES:
        told = {other: count for (true, other), count in pairs.items() if true == name}
        count = max(sum(told.values()), 1)
        right, none = told.get(name, 0), told.get(NONE, 0) if name != NONE else 0
        print(f'{name:12}  {sum(told.values()):6}  {100 * right / count:6.1f}{100 * none / count:6.1f}{100 * (count - right - none) / count:9.1f}')


if __name__ == '__main__':
    main()
