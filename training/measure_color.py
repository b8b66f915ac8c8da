"""Measure a model for colour crops as the tracker uses it: ``python -m training.measure_color [MODEL]``.

On the validation renders: joints after Procrustes alignment and from the wrist, by one look at each crop, as the tracker
looks at a hand that is new (four times, by better crops, each time so often as the parameter ``looks`` says) and as it
looks at the same hand in the next image, being followed (once, where its joints were). At a new hand: what would be left
were the joints right across the line of sight or along it; places in the image, and the overlap of the true mask with the
hand model that is fitted to the joints and placed by the hand's size. And the side.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from hand_pose_ros.estimation.color_pose import ColorPose, ColorPoseEstimator, place
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.hand_model.fitting import HandFitter
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.localization.color_crop import CLOSER, ColorCrop
from hand_pose_ros.parameters import LOOKS
from hand_pose_ros.pipeline.color_tracker import SEEN, look_at, look_closer
from hand_pose_ros.pipeline.stages import Stages
from hand_pose_ros.scoring import align
from training.measure_precision import color_input, run_in_batches
from training.rgb_task import Validation, validation_renders

#: How much more than a crop the tracker may look at, along a side.
ROOM = 1.6


def reach_of(joints: np.ndarray, points: np.ndarray) -> float:
    """Find a crop's reach (see ``ColorCrop``) by what is true of its joints (21, 3) and points (21, 2).

    Where the wrist is at X, Y, Z, a joint x, y, z from it is seen at u with u reach (Z + z) = X + x: linear in reach,
    reach Z, X and Y.
    """
    rows, wanted = [], []
    for axis in range(2):
        seen = points[:, axis]
        place = np.zeros((len(points), 2))
        place[:, axis] = -1
        rows.append(np.column_stack([seen * joints[:, 2], seen, place]))
        wanted.append(joints[:, axis])
    return float(np.linalg.lstsq(np.concatenate(rows), np.concatenate(wanted), rcond=None)[0][0])


def look_as_the_tracker(estimator: ColorPoseEstimator, data: Validation, crops: list[ColorCrop], looks: int
                        ) -> list[tuple[np.ndarray, float]]:
    """Look at hands as the tracker does at new ones, and at the same image again, as where they are followed.

    Args:
        estimator: looks.
        data: images of ``ROOM`` times the crops.
        crops: the first look's, in a camera that looks at their middles.
        looks: see ``SEEN``.

    Returns:
        Of new and of followed hands: joints (N, 21, 3) in metres, in that camera's frame, and how often each was looked
        at in the mean.

    """
    found, counts, stages = ([], []), [0, 0], Stages(())
    for image, first, size in zip(data.images, crops, data.sizes):
        side = len(image)
        focal = side / 2 / (first.reach * ROOM)
        camera = Camera(side, side, focal, focal, (side - 1) / 2, (side - 1) / 2)
        at = [first.seen(zoom=1 / CLOSER)]
        for which, new in enumerate((True, False)):
            def look(crops: list[ColorCrop]) -> list[ColorPose]:
                counts[which] += len(crops) * len(SEEN[looks])
                return look_at(estimator, image[..., ::-1], camera, crops, looks, float(size), stages)

            poses = look(at)
            look_closer(look, at, poses, [False], [new], camera)
            found[which].append(poses[0].joints)
    return [(np.stack(joints), count / len(joints)) for joints, count in zip(found, counts)]


def silhouette(vertices: np.ndarray, faces: np.ndarray, crop: ColorCrop, size: int) -> np.ndarray:
    """Pixels (size, size), bool, of a crop that a mesh with vertices (V, 3) in the crop's frame covers."""
    pixels = (vertices[:, :2] / (crop.reach * vertices[:, 2:]) + 1) / 2 * size - 0.5
    mask = np.zeros((size, size), np.uint8)
    for triangle in np.clip(np.rint(pixels * 16), -1e6, 1e6).astype(np.int32)[faces]:
        cv2.fillConvexPoly(mask, triangle, 1, shift=4)
    return mask > 0


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', nargs='?', default='', help='a name of models/manifest.yaml, or an .onnx file')
    parser.add_argument('--looks', type=int, default=1, choices=LOOKS, help='at each crop')
    arguments = parser.parse_args()
    estimator = ColorPoseEstimator(arguments.model)
    network, size = estimator.engine, estimator.input_size
    data = validation_renders(size)
    inputs = color_input(data.images)
    joints, points, spread, right = run_in_batches(network, inputs)
    mirrored = run_in_batches(network, inputs[..., ::-1])[3]
    crops = [ColorCrop(np.eye(3), reach_of(*hand)) for hand in zip(data.joints.astype(float), data.points.astype(float))]
    truth = 1000 * data.joints * data.sizes[:, None, None]

    def aligned(joints: np.ndarray) -> np.ndarray:
        return np.linalg.norm(align(joints, truth, 'procrustes') - truth, axis=2)

    def show(name: str, placed: np.ndarray) -> np.ndarray:
        found = 1000 * (placed - placed[:, :1])
        errors = aligned(found)
        print(f'{name}: {errors.mean():.2f} mm after Procrustes alignment (median {np.median(errors):.2f}), '
              f'{np.linalg.norm(found - truth, axis=2).mean():.2f} mm from the wrist')
        return found

    print(f'{network.description}; {len(truth)} renders')
    rooted = (joints - joints[:, :1]) * data.sizes[:, None, None]
    show('one look at each', np.stack([place(*hand) for hand in zip(rooted, points, spread, crops)]))
    (placed, count), (followed, later) = look_as_the_tracker(estimator, validation_renders(size, ROOM), crops,
                                                             arguments.looks)
    show(f'as the tracker looks at a hand that it follows, {later:.2f} times in the mean', followed)
    found = show(f'as the tracker looks at a new hand, {count:.2f} times in the mean', placed)
    points = np.stack([crop.project(hand) for crop, hand in zip(crops, placed)])
    across, along = (aligned(np.concatenate(parts, 2)).mean() for parts in (
        (truth[..., :2], found[..., 2:]), (found[..., :2], truth[..., 2:])))
    print(f'after alignment, were all of them in their true places across the line of sight: {across:.2f} mm; were they at '
          f'their true distances along it: {along:.2f} mm')
    print(f'points: {np.linalg.norm(points - data.points, axis=2).mean() * size / 2:.2f} pixels of {size}')
    print(f'side wrong: {50 * ((right < 0).mean() + (mirrored > 0).mean()):.1f} % by one look at either, '
          f'{100 * (right < mirrored).mean():.1f} % with the mirror image')
    fitter, overlaps = HandFitter(*load_hand_models()), []
    for hand, crop, mask in zip(placed, crops, data.masks > 0.5):
        fit = fitter.fit(hand, 'right')
        drawn = silhouette(fit.vertices, fit.faces, crop, size)
        overlaps.append((drawn & mask).sum() / max((drawn | mask).sum(), 1))
    print(f'mask of the fitted mesh: {100 * np.mean(overlaps):.1f} % intersection over union')


if __name__ == '__main__':
    main()
