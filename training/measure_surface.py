"""What the depth image's points save on top of a network: ``python -m training.measure_surface [MODEL]``.

Draws the validation set once more, with its depth images, which it does not keep; prints the mean error of one look and
of four, and of both after the hand model was brought to the points, each hand by itself and at its first sight. With
``--moving`` it draws other hands, that move before a time-of-flight camera.
"""

from __future__ import annotations

import argparse

import numpy as np

from hand_pose_ros.estimation.pose import Cube, PoseEstimator, merge
from hand_pose_ros.hand_model.fitting import HandFitter
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.hand_model.surface import SurfaceFitter
from hand_pose_ros.images import DepthImage
from hand_pose_ros.localization.crop import CUBE_PER_HAND
from hand_pose_ros.parameters import LOOKS
from hand_pose_ros.pipeline.track import Track
from training.pose_task import VALIDATION_PEOPLE, VALIDATION_SEED, validation_set
from training.synthesis.crops import CropSource, draw_cube, draw_view_of_hand
from training.synthesis.people import draw_people
from training.synthesis.sensors import SENSORS, TIME_OF_FLIGHT

MOVING_SENSORS = [name for name, sensor in SENSORS.items() if sensor.kind == TIME_OF_FLIGHT]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', nargs='?', default='',
                        help='a pose model of models/manifest.yaml, or an .onnx file; default the shipped one')
    parser.add_argument('--hands', type=int, default=1024, help='how many of the validation set (1024)')
    parser.add_argument('--moving', action='store_true', help='hands that move before a time-of-flight camera')
    arguments = parser.parse_args()
    estimator = PoseEstimator(arguments.model, 'onnxruntime', precision='f32')
    surfaces = SurfaceFitter(HandFitter(*load_hand_models()))
    source = CropSource(draw_people(VALIDATION_PEOPLE, np.random.default_rng(VALIDATION_SEED)), VALIDATION_SEED)
    options = {'moving': 1.0, 'sensors': MOVING_SENSORS} if arguments.moving else {}
    crops, *_ = validation_set(estimator.input_size)
    errors: dict[str, list[np.ndarray]] = {}
    for crop in crops[:arguments.hands]:
        view = draw_view_of_hand(source.poser, source.next_pose(), source.rng, **options)
        centre, half = draw_cube(view.joints, source.rng)
        cube = Cube(centre, half / CUBE_PER_HAND, 'right')
        cut = estimator.cut(view.depth, view.camera, [cube])
        if not options and np.abs(cut - crop).max() > 2e-3:
            raise RuntimeError('these are not the hands of the validation set: its seed or how it is drawn has changed')
        looks = estimator.estimate(cut, [cube], LOOKS[4])[0]
        for name, poses in (('one look', looks[:1]), ('four looks', looks)):
            pose = merge(poses)
            # A track of its own for each: nothing is known of the person.
            brought = Track(number=0).on_surface(surfaces, pose.joints, pose.spread, DepthImage(view.depth), view.camera,
                                                 pose.opinions)
            for what, joints in ((name, pose.joints), (f'{name}, brought to the points', brought)):
                errors.setdefault(what, []).append(1000 * np.linalg.norm(joints - view.joints, axis=1))
    for what, parts in errors.items():
        error = np.stack(parts)
        print(f'{what}: mean {error.mean():.2f} mm, median {np.median(error):.2f} mm, tips {error[:, 4::4].mean():.2f} mm, '
              f'{100 * (error > 20).mean():.1f} % beyond 20 mm')


if __name__ == '__main__':
    main()
