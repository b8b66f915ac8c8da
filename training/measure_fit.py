"""Measure how well, and how fast, the hand model fits joints: ``python -m training.measure_fit``.

People that the model was not made from are posed by their own skeletons; their joints, exact or with Gaussian noise,
are fitted one frame at a time and as tracks of one person each.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from hand_pose_ros.geometry.rotations import random_rotations
from hand_pose_ros.hand_model.fitting import FitState, HandFitter
from hand_pose_ros.hand_model.kinematics import forward_kinematics, local_rotations, measure_rest_angles
from hand_pose_ros.hand_model.loading import load_hand_models
from training.build_hand_model import Hands, draw_hands
from training.synthesis.poses import draw_poses


def posed_tracks(hands: Hands, poses: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, poses, 21, 3) in a camera's frame and angles (N, poses, D) of every person in many poses."""
    tracks, angles = [], []
    for rest, axes in zip(hands.joints, hands.axes):
        rest_angles = measure_rest_angles(rest, axes)
        drawn = draw_poses(poses, rng, axes, rest_angles, rest)
        _, joints = forward_kinematics(rest, local_rotations(drawn, axes, rest_angles))
        joints = (joints - rest[0]) @ np.swapaxes(random_rotations(rng, poses), 1, 2)
        tracks.append(joints + rng.uniform((-0.2, -0.2, 0.3), (0.2, 0.2, 1.0), (poses, 1, 3)))
        angles.append(drawn)
    return np.array(tracks), np.array(angles)


def measure(fitter: HandFitter, tracks: np.ndarray, angles: np.ndarray, noise: float, rng: np.random.Generator,
            tracked: bool, mesh: bool = True) -> dict[str, np.ndarray]:
    """Fit every frame: residual to the given joints and error to the true ones (root mean square, metres), angle
    error (median of a frame, radians) and seconds of processor time.
    """
    rows = []
    for track, true_angles in zip(tracks, angles):
        state = FitState()
        for number, (joints, truth) in enumerate(zip(track, true_angles)):
            given = joints + rng.normal(0, noise, joints.shape)
            start = time.thread_time()
            fit = fitter.fit(given, 'right', mesh=mesh, state=state if tracked else None)
            seconds = time.thread_time() - start
            if tracked and number < len(track) // 2:
                continue  # the shape is still settling
            rows.append([fit.residual, np.sqrt(np.mean(np.sum((fit.joints - joints) ** 2, 1))),
                         np.median(np.abs(np.array(list(fit.angles.values())) - truth)), seconds])
    return dict(zip(('residual', 'error', 'angle', 'seconds'), np.array(rows).T))


def main() -> None:
    """Print a line for each amount of noise, one frame at a time and tracked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--people', type=int, default=40)
    parser.add_argument('--poses', type=int, default=40, help='poses of each person')
    parser.add_argument('--seed', type=int, default=5)
    parser.add_argument('--noise', type=float, nargs='+', default=[0, 2, 4, 6], help='of a joint, mm along each axis')
    parser.add_argument('--model', default='', help='as the parameter hand_model; the shipped one by default')
    arguments = parser.parse_args()
    fitter = HandFitter(*load_hand_models(arguments.model))
    rng = np.random.default_rng(arguments.seed)
    report(fitter, *posed_tracks(draw_hands(arguments.people, arguments.seed), arguments.poses, rng), arguments.noise)


def report(fitter: HandFitter, tracks: np.ndarray, angles: np.ndarray, noises: list[float]) -> None:
    """Print the table."""
    print('noise mm  frames   residual mm (95th)   error mm (95th)   angles deg   fit ms (95th)   without mesh')
    for noise in noises:
        for tracked in (False, True):
            result = measure(fitter, tracks, angles, noise / 1000, np.random.default_rng(1), tracked)
            bare = measure(fitter, tracks[:, :10], angles, noise / 1000, np.random.default_rng(1), tracked, mesh=False)
            residual, error, seconds = (1000 * result[name] for name in ('residual', 'error', 'seconds'))
            print(f'{noise:8.1f}  {"tracked" if tracked else "single ":7}  {residual.mean():11.2f} '
                  f'({np.quantile(residual, 0.95):.2f})  {error.mean():11.2f} ({np.quantile(error, 0.95):.2f})  '
                  f'{np.degrees(result["angle"].mean()):9.1f}  {np.median(seconds):10.2f} '
                  f'({np.quantile(seconds, 0.95):.2f})  {1000 * np.median(bare["seconds"]):10.2f}')


if __name__ == '__main__':
    main()
