"""Which networks a tracker can afford on this machine: what ``model: auto`` takes in a node, and why.

Every candidate is timed as it runs, in its engine and precision, once a machine: the times are cached. The most
accurate one that leaves half of the cores' time to the rest, and to others, is taken. Those after it, and fewer views
of each hand, are what a node steps down to while the machine is too busy.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from hand_pose_ros.core.frame import CameraFrame
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.estimation.base import PoseEstimator
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import NOMINAL_HAND_SIZE_M
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.inference.models import COLOR_POSE, POSE, file_digest, find_model, models_by_accuracy
from hand_pose_ros.machine import imitated_isa, instruction_sets, processor_name, usable_cores
from hand_pose_ros.regions.cube import CubeRegion
from hand_pose_ros.regions.perspective import PerspectiveRegion
from hand_pose_ros.resources import cache_folder
from hand_pose_ros.settings import AUTO, VIEWS, ModelSettings, TrackerSettings
from hand_pose_ros.tracking.configuration import MEDIAPIPE
from hand_pose_ros.tracking.factory import choose_configuration, make_estimator, make_tracker
from hand_pose_ros.tracking.tracker import HandTracker


@dataclass(frozen=True)
class TimingConfiguration:
    """How candidates are timed, and what they may take."""

    #: Share of the cores' time that estimates may take.
    cores_share: float = 0.5
    #: Share of the time between two images that they may take: what else is done for a frame, and what else runs on
    #: the machine, needs the rest.
    wall_share: float = 0.5
    #: The same for the first estimates of new hands, which are made of several views where that is quick enough.
    new_share: float = 0.7
    #: Estimates that are timed: the fastest of them counts, since whatever else runs only ever adds.
    least_runs: int = 3
    most_runs: int = 12
    #: No further run begins after this.
    limit_s: float = 0.2
    #: One thread that waited so much longer than it computed was disturbed: its time is not kept for later starts.
    disturbed: float = 1.25
    #: Distance at which the hands that are timed are held, meters.
    distance_m: float = 0.5


CONFIG = TimingConfiguration()
#: Packages whose version changes what a network takes.
_ENGINES = ('openvino', 'onnxruntime', 'onnxruntime-gpu')


@dataclass(frozen=True)
class EstimateTime:
    """What it takes to estimate all hands of a frame once, milliseconds."""

    #: From the image to the joints.
    wall_ms: float
    #: Of all cores together.
    cores_ms: float


@dataclass(frozen=True)
class Level:
    """What is run: which networks, and how many views of each hand."""

    models: ModelSettings
    views: int

    @property
    def name(self) -> str:
        """The networks, for people."""
        names = [name for name in (self.models.estimator, self.models.model) if name != AUTO]
        name = ' + '.join(names) or AUTO
        views = f', {self.views} views' if self.views > 1 else ''
        threads = {0: '', 1: ' by one thread'}.get(self.models.threads, f' by {self.models.threads} threads')
        return f'{name}{views}{threads}'


@dataclass(frozen=True)
class ModelChoice:
    """What was chosen.

    Attributes:
        levels: the one that was chosen, and those to step down to, one after the other.
        reason: why, for people; empty where there was nothing to choose.
        times: of the candidates that were timed.

    """

    levels: tuple[Level, ...]
    reason: str = ''
    times: Mapping[ModelSettings, EstimateTime] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: TrackerSettings) -> ModelChoice:
        """The networks that settings name, whatever they take."""
        return cls(_ladder(settings.models, [], settings.tracking.views)[:1])

    def with_views(self, views: int) -> ModelChoice:
        """The same networks with another number of views of each hand at first."""
        first, *others = dict.fromkeys(level.models for level in self.levels)
        return replace(self, levels=_ladder(first, others, views))

    def without(self, models: ModelSettings) -> ModelChoice:
        """The same without networks that turned out not to run; the first level stays."""
        return replace(self, levels=self.levels[:1] + tuple(one for one in self.levels[1:] if one.models != models))


def choose_models(settings: TrackerSettings, anew: bool = False) -> ModelChoice:
    """Choose the networks of a tracker that has to keep up with a camera.

    Args:
        settings: where ``model`` is not ``auto`` nothing is timed, and only they themselves are chosen.
        anew: time every candidate again, whatever is cached and even if one before it keeps up.

    Raises:
        ModelError: a model file is missing or damaged.
        EngineError: the engine is not installed.

    """
    views, limit = settings.tracking.views, _limit(settings)
    able = candidates(settings.models)
    if len(able) < 2:
        return ModelChoice.of(settings)
    times: dict[ModelSettings, EstimateTime] = {}
    fitting: list[ModelSettings] = []
    for models in able:
        if fitting and not anew:
            break
        for one in _by_threads(models):
            alone = times.get(replace(one, threads=1))
            if alone is not None and alone.wall_ms > limit.wall_ms * usable_cores():
                break  # all cores together would not do
            times[one] = estimate_time(one, settings.tracking.max_hands, views, anew)
            if times[one].wall_ms <= limit.wall_ms and times[one].cores_ms <= limit.cores_ms:
                fitting.append(one)
                break
    first = fitting[0] if fitting else _by_threads(able[-1])[-1]
    after = [models for models in able if models.model != first.model or models.estimator != first.estimator]
    after = after[able.index(replace(first, threads=settings.models.threads)) :]
    levels = _ladder(first, [_by_threads(models)[0] for models in after], views)
    return ModelChoice(levels, _reason(times, levels[0], limit, settings), times)


def _by_threads(models: ModelSettings) -> list[ModelSettings]:
    """The same networks by one thread, then by as many as the engine likes; only by those that the user asks for.

    Several threads wait for one another, so that what else runs on any core delays all of them; and they spin.
    """
    return [replace(models, threads=1), models] if models.threads == 0 else [models]


def _limit(settings: TrackerSettings) -> EstimateTime:
    """What the estimates of a frame may take."""
    period_ms = 1000 / settings.node.expected_rate_hz
    return EstimateTime(CONFIG.wall_share * period_ms, CONFIG.cores_share * period_ms * usable_cores())


def _ladder(first: ModelSettings, others: Sequence[ModelSettings], views: int) -> tuple[Level, ...]:
    """Fewer and fewer views by the first networks, then one by each of the others."""
    own = [Level(first, count) for count in reversed(VIEWS) if count <= views]
    return (*own, *(Level(models, 1) for models in others))


def _reason(
    times: Mapping[ModelSettings, EstimateTime], level: Level, limit: EstimateTime, settings: TrackerSettings
) -> str:
    """Why a level was chosen, for people."""
    what = f'{settings.tracking.max_hands} hands at {settings.node.expected_rate_hz:g} Hz'
    taken = ', '.join(
        f'{Level(models, 1).name} {found.wall_ms:.1f} ms ({found.cores_ms:.1f})' for models, found in times.items()
    )
    allowed = f'{limit.wall_ms:.1f} ms ({limit.cores_ms:.1f})'
    return f'auto: {level.name} for {what}; ms a frame (of all cores together): {taken}; allowed: {allowed}'


def make_live_tracker(settings: TrackerSettings) -> tuple[HandTracker, ModelChoice]:
    """Make the tracker of a camera that it has to keep up with, see :func:`choose_models`; and what was chosen."""
    choice = choose_models(settings)
    models = choice.levels[0].models
    tracker = make_tracker(replace(settings, models=models))
    if models in choice.times:
        one_ms = choice.times[models].wall_ms / (settings.tracking.max_hands * settings.tracking.views)
        tracker.limit_estimates(max(int(CONFIG.new_share * 1000 / settings.node.expected_rate_hz / one_ms), 1))
    tracker.warm_up(_scene(settings.models.modality, 0)[0])
    return tracker, choice


def candidates(models: ModelSettings) -> list[ModelSettings]:
    """What ``auto`` may take, the most accurate first; only ``models`` itself where the user named something."""
    if models.model not in ('', AUTO):
        return [models]
    color = models.estimator
    if models.modality != 'depth' and color == AUTO:
        color = choose_configuration(models).estimators[0]
    first, lite = MEDIAPIPE.estimators[0], f'{MEDIAPIPE.estimators[0]}_lite'
    if models.modality == 'depth':
        return [replace(models, model=name) for name in models_by_accuracy(POSE)]
    colors = [color, lite] if color == first and models.estimator == AUTO else [color]
    made = [replace(models, estimator=name, detector=models.detector) for name in colors]
    if models.modality == 'color':
        return made
    depths = models_by_accuracy(POSE)
    both = [replace(made[0], model=name) for name in depths]
    return [*both, *(replace(one, model=depths[-1]) for one in made[1:])]


def estimate_time(models: ModelSettings, hands: int, views: int, anew: bool = False) -> EstimateTime:
    """Time the estimates of a frame on this machine, or take what an earlier start has found unless ``anew``.

    What was found while others kept the machine busy is not kept, or later starts would take a smaller network too.

    Raises:
        ModelError: a model file is missing or damaged.
        EngineError: the engine is not installed.

    """
    folder = cache_folder('times')
    path = None if folder is None else folder / f'{_key(models, hands, views)}.json'
    if path is not None and not anew:
        with suppress(OSError, ValueError, TypeError):
            return EstimateTime(**json.loads(path.read_text()))
    found = time_estimator(make_estimator(models, StageTimer()), models.modality, hands, views)
    if path is not None and not (models.threads == 1 and found.wall_ms > CONFIG.disturbed * found.cores_ms):
        with suppress(OSError):
            part = path.with_suffix(f'.{os.getpid()}')
            part.write_text(json.dumps(asdict(found)))
            part.replace(path)
    return found


def _key(models: ModelSettings, hands: int, views: int) -> str:
    """Name of a cached time: machine, settings, engines' versions and the networks' files."""
    versions = []
    for package in _ENGINES:
        with suppress(PackageNotFoundError):
            versions.append(f'{package} {version(package)}')
    files = []
    if models.modality != 'color':
        files.append(file_digest(find_model(models.model, POSE).path))
    if models.modality != 'depth':
        files.append(file_digest(find_model(AUTO, COLOR_POSE).path))
    machine = [processor_name(), instruction_sets(), imitated_isa(), usable_cores()]
    parts = [machine, versions, files, asdict(models), hands, views]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def time_estimator(estimator: PoseEstimator[Any], modality: str, hands: int, views: int) -> EstimateTime:
    """Time an estimator on hands of a made-up image, side by side: what it computes does not depend on the picture."""
    frame, regions = _scene(modality, hands)
    estimator.estimate(frame, regions, views)
    walls: list[float] = []
    cores: list[float] = []
    begun = time.perf_counter()
    while len(walls) < CONFIG.least_runs or (
        len(walls) < CONFIG.most_runs and time.perf_counter() - begun < CONFIG.limit_s
    ):
        wall, spent = time.perf_counter(), time.process_time()
        estimator.estimate(frame, regions, views)
        walls.append(time.perf_counter() - wall)
        cores.append(time.process_time() - spent)
    return EstimateTime(round(1000 * min(walls), 2), round(1000 * min(cores), 2))


def _scene(modality: str, hands: int) -> tuple[CameraFrame, Sequence[CubeRegion] | Sequence[PerspectiveRegion]]:
    """A wall at a hand's distance in a camera's image, and regions for hands on it."""
    camera = Camera(640, 480, 600.0, 600.0, 319.5, 239.5)
    depth = np.full((camera.height, camera.width), round(1000 * CONFIG.distance_m), np.uint16)
    gray = np.full((camera.height, camera.width, 3), 128, np.uint8)
    frame = CameraFrame(
        camera,
        color=None if modality == 'depth' else gray,
        depth=None if modality == 'color' else DepthImage(depth, 0.001),
    )
    places = [np.array([0.15 * (n - (hands - 1) / 2), 0.0, CONFIG.distance_m]) for n in range(hands)]
    if modality == 'depth':
        return frame, [CubeRegion(place, NOMINAL_HAND_SIZE_M) for place in places]
    return frame, [PerspectiveRegion.looking_at(place, 1.3 * NOMINAL_HAND_SIZE_M) for place in places]
