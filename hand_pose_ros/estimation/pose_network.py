"""A pose network and its engine: what the estimators of depth and of color have in common."""

from __future__ import annotations

from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.inference.engines import Engine, open_engine, warm_up
from hand_pose_ros.inference.models import Model, ModelError, choose_model
from hand_pose_ros.settings import ModelSettings


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
        found, height, self.input_size = self.engine.input_shape
        if found != channels or height != self.input_size:
            wanted = 'one square channel of depth' if channels == 1 else f'{channels} square channels of color'
            raise ModelError(
                f'{self.model.path} takes {found} channels of {height}x{self.input_size}; this pose network must take '
                f'{wanted}'
            )
        warm_up(self.engine)
        self.model_name = self.model.name
        self.description = f'{self.engine.description}, {self.model_name}'
        self._timer = timer or StageTimer()
