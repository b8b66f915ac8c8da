"""A tracker that does less while the machine is too busy, before frames are dropped, and more again afterwards."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from hand_pose_ros.settings import ModelSettings
from hand_pose_ros.tracking.factory import make_estimator
from hand_pose_ros.tracking.load import LoadControl
from hand_pose_ros.tracking.model_choice import Level, ModelChoice

if TYPE_CHECKING:
    from hand_pose_ros.estimation.base import PoseEstimator
    from hand_pose_ros.tracking.tracker import HandTracker


class Adaptation:
    """Steps a tracker down the levels of a choice and up again.

    Networks that are not loaded yet are loaded in a thread of their own, and taken once they are ready; one that was
    loaded is kept.

    Attributes:
        level: what is run now.

    """

    def __init__(self, tracker: HandTracker, choice: ModelChoice, logger: RcutilsLogger) -> None:
        self._tracker, self._choice, self._logger = tracker, choice, logger
        self._control = LoadControl(len(choice.levels))
        self.level: Level = choice.levels[0]
        self._loaded: dict[ModelSettings, PoseEstimator[Any]] = {}
        self._loading: threading.Thread | None = None

    @property
    def views(self) -> int:
        """Views of each hand now."""
        return self.level.views

    def set_views(self, views: int) -> None:
        """Go on with another number of views of each hand at first, by the networks that were chosen first."""
        self._choice = self._choice.with_views(views)
        self._control = LoadControl(len(self._choice.levels))
        first = self._choice.levels[0]
        if first.models != self.level.models:
            self._tracker.replace_estimator(self._loaded[first.models])
        self.level = first

    def describe(self) -> dict[str, str]:
        """Return what diagnostics say of the choice: nothing where there was none."""
        if not self._choice.reason:
            return {}
        stepped = '' if self.level == self._choice.levels[0] else f'{self.level.name}, since the machine is too busy'
        return {'model choice': self._choice.reason, 'stepped down to': stepped or 'nothing'}

    def pause(self) -> None:
        """No frames come for a while."""
        self._control.pause()

    def after_frame(self, busy_s: float) -> bool:
        """Note the time that a frame was in work; True where the tracker does another amount of work from now on."""
        self._control.frame(busy_s)
        wanted = self._choice.levels[self._control.level]
        if wanted == self.level:
            return False
        self._loaded.setdefault(self.level.models, self._tracker.estimator)
        if wanted.models not in self._loaded:
            self._load(wanted)
            return False
        down = self._choice.levels.index(wanted) > self._choice.levels.index(self.level)
        self._tracker.replace_estimator(self._loaded[wanted.models])
        why = 'the machine is too busy to keep up' if down else 'the machine is quiet again'
        self._logger.warning(f'{why}: hands are now estimated by {wanted.name}, not by {self.level.name}')
        self.level = wanted
        return True

    def _load(self, level: Level) -> None:
        if self._loading is not None and self._loading.is_alive():
            return

        def load() -> None:
            try:
                self._loaded[level.models] = make_estimator(level.models, self._tracker.timer)
            except (ValueError, OSError, RuntimeError) as error:
                self._logger.error(f'{level.name} cannot be loaded: {error}')
                self._choice = self._choice.without(level.models)
                self._control = LoadControl(len(self._choice.levels))

        self._loading = threading.Thread(target=load, name='load network', daemon=True)
        self._loading.start()
