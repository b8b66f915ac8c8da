"""Hands in depth images: cells of the scene near the closest object, each refined by a network (SRN, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.detection.base import Detection, Verification
from hand_pose_ros.detection.center_refinement import Refinement, refine
from hand_pose_ros.detection.depth_search import propose_centers
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.inference.engines import open_engine, warm_up
from hand_pose_ros.inference.models import CENTER, find_model
from hand_pose_ros.regions.cube import LARGEST_HAND_M, SMALLEST_HAND_M, CubeRegion
from hand_pose_ros.settings import AUTO, ModelSettings


@dataclass(frozen=True)
class DepthDetectorConfiguration:
    """What counts as a hand."""

    #: A cell whose first refinement is below this is none.
    likely: float = 0.15
    #: Cells that are refined a second time, at most.
    refined_twice: int = 8
    #: Probability from which on a refined center may be a hand.
    found: float = 0.35
    #: The same with another hand in view: a lone hand has fewer rivals.
    found_with_others: float = 0.98
    #: A new hand's center is never so close to another hand's, meters.
    apart_m: float = 0.105
    #: Score that a meter of distance costs: the closest object is more often the hand, as the papers have it.
    score_per_m: float = 0.5
    #: A hand's center may lie before ``near`` and beyond ``far`` by these factors.
    near_factor: float = 0.5
    far_factor: float = 1.2


class DepthDetector:
    """Finds hands by their depth, and verifies those that are tracked.

    Raises:
        ModelError: the model is missing or damaged.
        EngineError: the engine is not installed.

    """

    needs = frozenset({Channel.DEPTH})

    def __init__(
        self,
        settings: ModelSettings,
        timer: StageTimer,
        configuration: DepthDetectorConfiguration = DepthDetectorConfiguration(),
    ) -> None:
        self._engine = open_engine(find_model(AUTO, CENTER), settings.engine, settings.threads, settings.precision)
        warm_up(self._engine)
        self.description = f'{self._engine.description}, {CENTER}'
        self._timer = timer
        self._configuration = configuration

    def detect(self, frame: CameraFrame, tracked: Sequence[CubeRegion]) -> list[Detection]:
        """See ``HandDetector.detect``."""
        with self._timer('localize'):
            assert frame.depth is not None
            known = [region.center for region in tracked]
            proposals = propose_centers(frame.depth, frame.camera, known=known)
            if not len(proposals):
                return []
            first = self._refine(frame, proposals)
            likely = [
                i
                for i in np.argsort(-first.presence)[: self._configuration.refined_twice]
                if first.presence[i] > self._configuration.likely and self._in_reach(first.centers[i], frame.depth)
            ]
            return self._select(self._refine(frame, first.centers[likely]), frame.depth, known) if likely else []

    def _select(self, found: Refinement, depth: DepthImage, known: list[np.ndarray]) -> list[Detection]:
        """Those of refined centers that are hands, no two of them the same."""
        limits, detections, taken = self._configuration, [], list(known)
        for i in np.argsort(limits.score_per_m * found.centers[:, 2] - found.presence):
            center, presence = found.centers[i], float(found.presence[i])
            enough = limits.found_with_others if taken else limits.found
            apart = all(np.linalg.norm(center - other) > limits.apart_m for other in taken)
            if presence >= enough and apart and self._in_reach(center, depth):
                taken.append(center)
                size = float(np.clip(found.sizes[i], SMALLEST_HAND_M, LARGEST_HAND_M))
                detections.append(Detection(CubeRegion(center, size), presence))
        return detections

    def verify(self, frame: CameraFrame, regions: Sequence[CubeRegion]) -> list[Verification]:
        """See ``HandVerifier.verify``."""
        with self._timer('localize'):
            assert frame.depth is not None
            found = self._refine(frame, np.array([region.center for region in regions]))
            verified = []
            for region, center, presence in zip(regions, found.centers, found.presence.tolist()):
                if not self._in_reach(center, frame.depth):
                    center, presence = region.center, 0.0
                coverage = region.coverage(frame.depth, frame.camera)
                verified.append(Verification(replace(region, center=center), presence, coverage))
            return verified

    def _refine(self, frame: CameraFrame, centers: np.ndarray) -> Refinement:
        assert frame.depth is not None
        return refine(frame.depth, frame.camera, centers, self._engine)

    def _in_reach(self, center: np.ndarray, depth: DepthImage) -> bool:
        limits = self._configuration
        nearest, farthest = limits.near_factor * depth.near, limits.far_factor * depth.far
        return bool(np.isfinite(center).all() and nearest < center[2] < farthest)
