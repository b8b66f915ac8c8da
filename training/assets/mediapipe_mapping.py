"""Fit how MediaPipe's points come to our joints, on renders whose true joints are known.

``python -m training fit-mediapipe`` draws right hands, runs MediaPipe's landmark network on each as the tracker
does, and prints the tables of ``hand_pose_ros/estimation/mediapipe_mapping.py`` and what they leave. Offsets are fitted
in the image, where the network is sure, not in depth, where it guesses: they turn with the hand, so that renders of
hands in every rotation tell all three coordinates. Half of the people fit, the others measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.estimation import mediapipe_landmarks as part
from hand_pose_ros.estimation.mediapipe_mapping import bone_frames
from hand_pose_ros.evaluation.scoring import align
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import JOINTS, NOMINAL_HAND_SIZE_M, hand_center, hand_size
from hand_pose_ros.regions.perspective import PerspectiveRegion
from hand_pose_ros.settings import ModelSettings

#: Root mean square distance between points and true joints, hand sizes, from which on the network saw another hand.
LOST = 0.5
#: Rounds of least squares in which joints that are far off count less, and where that begins, hand sizes.
ROUNDS, ROBUST = 5, 0.08


@dataclass(frozen=True)
class Seen:
    """A render and what the network makes of it.

    Attributes:
        marks: by the network, in the region.
        region: of the second look, as MediaPipe takes it from the landmarks of the first.
        joints: (21, 3) the true ones, meters, camera optical frame.

    """

    marks: part.Landmarks
    region: PerspectiveRegion
    joints: np.ndarray

    def residuals(self) -> np.ndarray:
        """(21, 2) from MediaPipe's points to the true joints, hand sizes, across the line of sight."""
        shape = self.marks.shape()
        return (self.region.project(self.joints) - self.marks.points[:, :2]) / (self.marks.scale * hand_size(shape))


def draw_hands(count: int, people: int, seed: int) -> Iterator[tuple[np.ndarray, Camera, np.ndarray]]:
    """Yield renders of right hands: image in bgr order, camera and joints."""
    from training.synthesis.color_crops import view_batches
    from training.synthesis.color_scenes import PIXELS
    from training.synthesis.people import draw_people

    crowd = draw_people(people, np.random.default_rng(seed))
    for layers, _, pinhole, joints, _, _, background in (
        tuple(each[0] for each in batch) for _, batch in zip(range(count), view_batches(crowd, seed, 1, empty=0))
    ):
        behind = cv2.resize(background, (PIXELS, PIXELS))
        image = np.clip(layers[..., :3] + (1 - layers[..., 3:4] / 255) * behind, 0, 255).astype(np.uint8)
        focal, u, v = (float(value) for value in pinhole)
        yield np.ascontiguousarray(image[..., ::-1]), Camera(PIXELS, PIXELS, focal, focal, u, v), joints.astype(float)


def see(network: part.MediaPipeLandmarks, image: np.ndarray, camera: Camera, joints: np.ndarray) -> Seen | None:
    """Look at a render twice, first where the hand is; None where the network finds none, or another."""
    region = PerspectiveRegion.of_hand(joints)
    for _ in range(2):
        (marks,) = network.landmarks(image, camera, [region])
        if marks.presence < 0.5 or marks.right_logit < 0:
            return None
        last, region = (
            region,
            PerspectiveRegion.of_square(camera, *part.landmark_square(region.to_pixels(marks.points[:, :2], camera))),
        )
    seen = Seen(marks, last, joints)
    return seen if np.sqrt(np.square(seen.residuals()).sum(1).mean()) < LOST else None


def fit_offsets(hands: list[Seen]) -> np.ndarray:
    """Offsets (21, 3) that bring points to joints in the image, by iteratively reweighted least squares."""
    frames = np.stack([bone_frames(hand.marks.shape()) for hand in hands])[:, :, :2]  # (N, 21, 2, 3)
    wanted = np.stack([hand.residuals() for hand in hands])
    offsets = np.zeros((len(JOINTS), 3))
    for _ in range(ROUNDS):
        left = wanted - (frames @ offsets[:, :, None])[..., 0]
        weights = (1 + np.square(left).sum(2) / ROBUST**2) ** -2.0
        for joint in range(len(JOINTS)):
            rows = frames[:, joint] * np.sqrt(weights[:, joint])[:, None, None]
            goal = wanted[:, joint] * np.sqrt(weights[:, joint])[:, None]
            offsets[joint] = np.linalg.lstsq(rows.reshape(-1, 3), goal.ravel(), rcond=None)[0]
    return offsets


def fit_depth(hands: list[Seen]) -> tuple[float, float]:
    """How the points' depth and the world landmarks' are mixed: least squares of the depth about the hand's middle."""
    columns, wanted = [], []
    for hand in hands:
        depths = np.stack([hand.marks.points[:, 2] / hand.marks.scale, hand.marks.world[:, 2]], 1)
        columns.append((depths - depths.mean(0)) / hand_size(hand.marks.world))
        true = hand.region.from_camera(hand.joints)[:, 2] / hand_size(hand.joints)
        wanted.append(true - true.mean())
    first, second = np.linalg.lstsq(np.concatenate(columns), np.concatenate(wanted), rcond=None)[0]
    return float(first), float(second)


def fit_sigma(disagreements: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, float]:
    """Floors (21,) and gain of the mean error, linear in the disagreement; of (N, 21) each, in hand sizes."""
    about = disagreements - disagreements.mean(0)
    gain = float((about * errors).sum() / np.square(about).sum())
    return errors.mean(0) - gain * disagreements.mean(0), gain


def fit_confidence(sigmas_mm: np.ndarray, good: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of the log odds that a joint is good, over -log(sigma); Newton's steps."""
    x = np.stack([np.ones(sigmas_mm.size), -np.log(sigmas_mm.ravel())], 1)
    y, found = good.ravel().astype(float), np.array([4.0, 2.0])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ found))
        found = found + np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2), x.T @ (y - p))
    return float(found[0]), float(found[1])


def place(hands: list[Seen]) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 21, 3) about their hands' centers, in hand sizes, as the estimator makes them; and the true ones."""
    found, true = [], []
    for hand in hands:
        joints, _ = part.place_joints(hand.marks, hand.region)
        found.append((joints - hand_center(joints)) / NOMINAL_HAND_SIZE_M)
        true.append((hand.joints - hand_center(hand.joints)) / hand_size(hand.joints))
    return np.stack(found), np.stack(true)


def show(name: str, values: np.ndarray) -> None:
    """Print a table (21, ...) as code."""
    print(f'{name} = np.array(\n    [')
    for joint, row in zip(JOINTS, np.round(values, 4).tolist()):
        print(f'        {row},  # {joint}')
    print('    ]\n)')


def fit(hands: int, people: int, seed: int) -> None:
    """Draw renders, fit on half of them, print the tables and what they leave in the other half."""
    network = part.mediapipe_landmarks(ModelSettings(modality='color'), StageTimer())
    fitting, testing = (
        [seen for one in draw_hands(hands // 2, people // 2, each) if (seen := see(network, *one))]
        for each in (seed, seed + 1)
    )
    report(fitting, testing)


def report(fitting: list[Seen], testing: list[Seen]) -> None:
    """Fit, print the tables and what they leave."""
    print(f'{len(fitting)} hands to fit, {len(testing)} to test')
    part.DEPTH_MIX = fit_depth(fitting)
    print(f'DEPTH_MIX = {part.DEPTH_MIX[0]:.3f}, {part.DEPTH_MIX[1]:.3f}')
    offsets = fit_offsets(fitting)
    before = np.stack([hand.residuals() for hand in testing])
    frames = np.stack([bone_frames(hand.marks.shape()) for hand in testing])[:, :, :2]
    after = before - (frames @ offsets[:, :, None])[..., 0]
    part.joint_offsets.__defaults__ = (offsets,)
    (found, true), (own, own_true) = place(testing), place(fitting)
    errors = np.linalg.norm(own - own_true, axis=2)
    disagreements = np.stack([hand.marks.disagreement() for hand in fitting])
    floors, gain = fit_sigma(disagreements, errors)
    sigmas = 90 * (floors + gain * disagreements)
    confidence = fit_confidence(sigmas, 95 * errors < 10)
    show('OFFSETS', offsets)
    show('SIGMA_FLOOR', floors)
    print(f'SIGMA_GAIN = {gain:.3f}\nCONFIDENCE = {confidence[0]:.2f}, {confidence[1]:.2f}')
    lengths = [np.linalg.norm(each, axis=2) for each in (before, after)]
    space = 90 * np.linalg.norm(found - true, axis=2)
    aligned = np.linalg.norm(align(90 * found, 90 * true, 'procrustes') - 90 * true, axis=2)
    print('joint        in the image, % of the hand size, before and after   in space, mm of a hand of 90 mm')
    for i, joint in enumerate(JOINTS):
        print(
            f'{joint:12} {100 * np.median(lengths[0][:, i]):6.1f} {100 * np.median(lengths[1][:, i]):6.1f}'
            f' {space[:, i].mean():8.1f}'
        )
    print(
        f'all          {100 * np.median(lengths[0]):6.1f} {100 * np.median(lengths[1]):6.1f} {space.mean():8.1f}; '
        f'after Procrustes alignment {aligned.mean():.1f}'
    )
