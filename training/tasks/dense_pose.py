"""What the dense network has in training beside what :mod:`training.tasks.color_pose` has: masks, and how well they are
met.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.networks.dense_color import DenseHand, points_error, refine
from training.silhouette import silhouette_overlap
from training.tasks import color_pose, self_augmentation
from training.tasks.protocol import DataSource

KIND = color_pose.KIND
INPUT = color_pose.INPUT
OUTPUTS = {
    **color_pose.OUTPUTS,
    'parameters': '(batch, 63) pose 45, shape 10, quaternion x y z w, scale, translation; see training/hand_layer.py',
}
DATA = color_pose.DATA
BEST_BY = color_pose.BEST_BY
SOURCES = {
    **color_pose.SOURCES,
    'self_augmentation': DataSource(self_augmentation.crops, check=self_augmentation.check),
}

validation_data = color_pose.validation_data
calibrate = color_pose.calibrate

#: Validation hands that refinement is tried on.
REFINED = 64


def network_input(data: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the loss takes, from a batch of data: images, joints, points and masks."""
    return *color_pose.network_input(data)[:3], data[3]


def mask_overlap(network: DenseHand, parameters: Tensor, masks: Tensor) -> float:
    """Mean intersection over union, in percent, of meshes with true masks (N, S, S) where these are known."""
    known = (masks.flatten(1) >= 0).all(1)
    if not known.any():
        return float('nan')
    size = network.silhouette.size
    true = torch.nn.functional.interpolate(masks[known, None], (size, size), mode='area')[:, 0]
    return 100 * float(silhouette_overlap(network.mask(network.hand(parameters[known])), true).mean())


def validate(network: DenseHand, data: color_pose.Validation) -> dict[str, float]:
    """Measure on validation crops: see :func:`training.tasks.color_pose.validate`.

    Returns:
        The same, and the overlap of masks where they are known (``mask_iou_percent``); of the first hands the mesh's
        joints' distance from the true points in pixels, before and after refinement (``mesh_px``, ``refined_px``).

    """
    figures = color_pose.validate(network, data)
    device = next(network.parameters()).device
    *_, parameters = color_pose.estimate(network, data.images)
    with torch.no_grad():
        overlap = mask_overlap(
            network, torch.from_numpy(parameters).to(device), torch.from_numpy(data.masks).to(device)
        )
    some = slice(min(REFINED, len(data.images)))
    image = color_pose.to_input(torch.from_numpy(data.images[some]).to(device))
    truth = torch.from_numpy(data.points[some]).to(device)
    refined = refine(network, image, steps=20, features=0)

    @torch.no_grad()
    def mean_error(values: Tensor) -> float:
        return float(points_error(network.project(network.hand(values), values), truth, image.shape[-1]).mean())

    masks = {} if math.isnan(overlap) else {'mask_iou_percent': round(overlap, 2)}
    return {
        **figures,
        **masks,
        'mesh_px': round(mean_error(torch.from_numpy(parameters[some]).to(device)), 3),
        'refined_px': round(mean_error(refined.parameters), 3),
    }
