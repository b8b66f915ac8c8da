"""How well, and how fast, the hand model fits joints.

People that the model was not made from are posed by their own skeletons; their joints, exact or with Gaussian noise,
are fitted one frame at a time and as tracks of one person each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from hand_pose_ros.geometry.rotations import random_rotations
from hand_pose_ros.hand_model.inverse_kinematics import HandShapeState, InverseKinematics
from hand_pose_ros.hand_model.kinematics import forward_kinematics, local_rotations, measure_rest_angles
from hand_pose_ros.hand_model.loading import load_hand_models
from training.assets.hand_model import Hands, draw_hands
from training.evaluation.figures import Measurement
from training.synthesis.poses import draw_poses

#: Of a joint along each axis.
NOISES_MM = (0, 2, 4, 6)
#: Of people that the hand model was not made from.
PEOPLE_SEED = 5


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


def measure(
    fitter: InverseKinematics,
    tracks: np.ndarray,
    angles: np.ndarray,
    noise: float,
    rng: np.random.Generator,
    tracked: bool,
    mesh: bool = True,
) -> dict[str, np.ndarray]:
    """Fit every frame: residual to the given joints and error to the true ones (root mean square, meters), angle
    error (median of a frame, radians) and seconds of processor time.
    """
    rows = []
    for track, true_angles in tqdm(zip(tracks, angles), total=len(tracks), unit='person', desc='inverse kinematics'):
        state = HandShapeState()
        for number, (joints, truth) in enumerate(zip(track, true_angles)):
            given = joints + rng.normal(0, noise, joints.shape)
            start = time.thread_time()
            fit = fitter.fit(given, 'right', mesh=mesh, state=state if tracked else None)
            seconds = time.thread_time() - start
            if tracked and number < len(track) // 2:
                continue  # the shape is still being found
            rows.append(
                [
                    fit.residual,
                    np.sqrt(np.mean(np.sum((fit.joints - joints) ** 2, 1))),
                    np.median(np.abs(np.array(list(fit.angles.values())) - truth)),
                    seconds,
                ]
            )
    return dict(zip(('residual', 'error', 'angle', 'seconds'), np.array(rows).T))


def evaluate(subject: str, samples: int) -> Iterator[Measurement]:
    """Errors and times for each amount of noise, one frame at a time and tracked, of ``samples`` poses in all."""
    people = round(samples**0.5)
    fitter = InverseKinematics(*load_hand_models('' if subject == 'hand_model' else subject))
    drawn = posed_tracks(draw_hands(people, PEOPLE_SEED), samples // people, np.random.default_rng(PEOPLE_SEED))
    for noise in NOISES_MM:
        for tracked in (False, True):
            name = f'noise_{noise}_mm_{"tracked" if tracked else "single"}'
            result = measure(fitter, *drawn, noise / 1000, np.random.default_rng(1), tracked)
            for figure in ('residual', 'error'):
                values = 1000 * result[figure]
                yield Measurement(f'{name}_{figure}', float(values.mean()), 'mm', len(values))
                yield Measurement(f'{name}_{figure}_95', float(np.quantile(values, 0.95)), 'mm', len(values))
            yield Measurement(f'{name}_angle', float(np.degrees(result['angle'].mean())), 'deg', len(result['angle']))
            yield Measurement(f'{name}_fit', 1000 * float(np.median(result['seconds'])), 'ms', len(result['seconds']))
