"""Errors of exported networks on their tasks' validation sets, by ONNX Runtime in float32."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from hand_pose_ros.inference.engines import open_engine
from hand_pose_ros.inference.models import CENTER, COLOR_POSE, DETECTOR, POSE
from training.evaluation.figures import Measurement
from training.evaluation.subjects import open_subject
from training.recipe import Recipe
from training.tasks import TASKS
from training.tasks.depth_pose import validation_set

#: Task of each kind of model.
TASK_OF = {POSE: 'depth_pose', CENTER: 'center', COLOR_POSE: 'color_pose', DETECTOR: 'color_detector'}
#: End of a figure's name -> its unit.
UNITS = {'_mm': 'mm', '_percent': '%', '_px': 'px', '_deg': 'deg'}


class OnnxNetwork(nn.Module):
    """An engine's network as a task validates networks of PyTorch."""

    def __init__(self, engine: object) -> None:
        super().__init__()
        self.engine = engine
        self.anchor = nn.Parameter(torch.zeros(1))  # says that images are to be on the CPU

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the engine gives, a few images at a time."""
        parts = [self.engine(part.numpy()) for part in images.contiguous().split(8)]
        found = tuple(torch.from_numpy(np.concatenate(part)) for part in zip(*parts))
        return found if len(found) > 1 else found[0]


def measurement(name: str, value: float, samples: int) -> Measurement:
    """A measurement whose name ends in its unit."""
    end = next((end for end in UNITS if name.endswith(end)), '')
    return Measurement(name.removesuffix(end) if end else name, value, UNITS.get(end, ''), samples)


def evaluate(subject: str, samples: int) -> Iterator[Measurement]:
    """What the model's task validates, on all of its set."""
    model = open_subject(subject)
    engine = open_engine(model, 'onnxruntime', precision='f32')
    task = TASKS.load(TASK_OF[model.task])
    recipe = Recipe(data_options={'size': engine.input_shape[1]})
    figures = task.validate(OnnxNetwork(engine), task.validation_data(recipe))
    for name, value in figures.items():
        yield measurement(name, value, samples)


def evaluate_handedness(subject: str, samples: int) -> Iterator[Measurement]:
    """Share of crops whose handedness is wrong."""
    engine = open_engine(open_subject(subject, POSE), 'onnxruntime', precision='f32')
    crops = validation_set(engine.input_shape[1])[0][:samples, None]
    parts = []
    for start in tqdm(range(0, len(crops), 8), unit='batch', desc='handedness'):
        some = np.ascontiguousarray(crops[start : start + 8])
        parts.append([engine(image)[2] for image in (some, np.ascontiguousarray(some[..., ::-1]))])
    own, mirrored = (np.concatenate(part) for part in zip(*parts))
    one_view = ((own < 0).mean() + (mirrored > 0).mean()) / 2
    yield Measurement('handedness_wrong_one_view', 100 * one_view, '%', len(crops))
    yield Measurement('handedness_wrong_two_views', 100 * (own < mirrored).mean(), '%', len(crops))
