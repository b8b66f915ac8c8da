"""A pose network and its engine: what the estimators of depth and of color have in common."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.geometry.joints import JOINTS
from hand_pose_ros.inference.base import cause
from hand_pose_ros.inference.engines import Engine, open_engine, warm_up
from hand_pose_ros.inference.models import COLOR_POSE, POSE, Model, ModelError, choose_model
from hand_pose_ros.settings import ModelSettings

#: Shapes of a pose network's outputs of one hand, by its task: joints (and points in the crop), sigma, handedness.
_OUTPUTS = {
    POSE: ((len(JOINTS), 3), (len(JOINTS),), ()),
    COLOR_POSE: ((len(JOINTS), 3), (len(JOINTS), 2), (len(JOINTS),), ()),
}


class PoseNetwork:
    """A network that is loaded and warm.

    Args:
        settings: name the model, the engine and the precision.
        timer: of the stages.
        task: what the model must do.
        channels: of the square images that it takes.

    Raises:
        ModelError: the model is missing, damaged or takes other images.
        EngineError: the engine is not installed.

    """

    def __init__(self, settings: ModelSettings, timer: StageTimer | None, task: str, channels: int) -> None:
        self.model: Model = choose_model(settings.model, task, others=settings.modality == 'rgbd')
        self.engine: Engine = open_engine(self.model, settings.engine, settings.threads, settings.precision)
        shape = self.engine.input_shape
        if len(shape) != 3 or shape[0] != channels or shape[1] != shape[2]:
            wanted = 'one square channel of depth' if channels == 1 else f'{channels} square channels of color'
            taken = f'{shape[0]} channels of {"x".join(map(str, shape[1:]))}' if shape else 'no image'
            raise ModelError(f'{self.model.path} takes {taken}; this pose network must take {wanted}')
        self.input_size = shape[1]
        self._try_out(_OUTPUTS[task])
        warm_up(self.engine)
        self.model_name = self.model.name
        self.description = f'{self.engine.description}, {self.model_name}'
        self._timer = timer or StageTimer()

    def _try_out(self, wanted: tuple[tuple[int, ...], ...]) -> None:
        """Run the network once: raises ModelError where it does not give what a pose network gives."""
        try:
            outputs = self.engine(np.zeros((1, *self.engine.input_shape), np.float32))
        # Whatever an engine makes of a graph that it cannot run.
        except Exception as error:
            raise ModelError(f'{self.model.path} does not run: {cause(error)}; export it again') from error
        shapes = tuple(output.shape[1:] for output in outputs[: len(wanted)])
        if shapes != wanted:
            raise ModelError(
                f'{self.model.path} is no pose network: its outputs of a hand have the shapes {shapes}, and must have '
                f'{wanted}'
            )
        if not all(np.isfinite(output).all() for output in outputs):
            raise ModelError(f'{self.model.path} gives values that are not finite; its weights are damaged')
