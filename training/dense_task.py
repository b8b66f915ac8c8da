"""What the dense network has in training beside what :mod:`training.rgb_task` has: masks, and how well they are met."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training import rgb_task
from training.networks.dense_rgb import DenseHand, points_error, refine
from training.rasterizer import silhouette_overlap

TASK = rgb_task.TASK
INPUT = rgb_task.INPUT
OUTPUT = {**rgb_task.OUTPUT,
          'parameters': '(batch, 63) pose 45, shape 10, quaternion x y z w, scale, translation; see training/hand_layer.py'}
DATA = rgb_task.DATA
CHOOSE_BY = rgb_task.CHOOSE_BY

crops = rgb_task.crops
validation_data = rgb_task.validation_data
calibrate = rgb_task.calibrate

#: Validation hands that refinement is tried on.
REFINED = 64


def network_input(data: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the loss takes, from a batch of data: images, joints, points and masks."""
    return *rgb_task.network_input(data)[:3], data[3]


def mask_overlap(network: DenseHand, parameters: Tensor, masks: Tensor) -> float:
    """Mean intersection over union, in percent, of meshes with true masks (N, S, S) where these are known."""
    known = (masks.flatten(1) >= 0).all(1)
    if not known.any():
        return float('nan')
    size = network.silhouette.size
    true = torch.nn.functional.interpolate(masks[known, None], (size, size), mode='area')[:, 0]
    return 100 * float(silhouette_overlap(network.mask(network.hand(parameters[known])), true).mean())


def validate(network: DenseHand, data: rgb_task.Validation) -> dict[str, float]:
    """Measure on validation crops: see :func:`training.rgb_task.validate`.

    Returns:
        The same, and the overlap of masks where they are known (``mask_iou_percent``); of the first hands the mesh's joints' distance from the
        true points in pixels, before and after refinement (``mesh_px``, ``refined_px``).

    """
    figures = rgb_task.validate(network, data)
    device = next(network.parameters()).device
    *_, parameters = rgb_task.estimate(network, data.images)
    with torch.no_grad():
        overlap = mask_overlap(network, torch.from_numpy(parameters).to(device), torch.from_numpy(data.masks).to(device))
    some = slice(min(REFINED, len(data.images)))
    image = rgb_task.to_input(torch.from_numpy(data.images[some]).to(device))
    truth = torch.from_numpy(data.points[some]).to(device)
    refined = refine(network, image, steps=20, features=0)

    @torch.no_grad()
    def mean_error(values: Tensor) -> float:
        return float(points_error(network.project(network.hand(values), values), truth, image.shape[-1]).mean())

    masks = {} if math.isnan(overlap) else {'mask_iou_percent': round(overlap, 2)}
    return {**figures, **masks, 'mesh_px': round(mean_error(torch.from_numpy(parameters[some]).to(device)), 3),
            'refined_px': round(mean_error(refined.parameters), 3)}
