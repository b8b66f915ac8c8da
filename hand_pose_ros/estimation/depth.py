"""Hands' poses from cubes of a depth image: cut, run the network, convert back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hand_pose_ros.core.frame import CameraFrame, Channel
from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.core.stage_timer import StageTimer
from hand_pose_ros.estimation.fusion import merge
from hand_pose_ros.estimation.pose_network import PoseNetwork
from hand_pose_ros.inference.models import POSE
from hand_pose_ros.regions.cube import CubeRegion, cube_to_camera
from hand_pose_ros.settings import ModelSettings

#: Number of views of a hand -> quarter turns in which it is shown: the network knows hands in every rotation.
VIEWS: dict[int, tuple[int, ...]] = {1: (0,), 2: (0, 2), 4: (0, 1, 2, 3)}

#: (4, 3, 3) what u, v, z of a crop that was shown in so many quarter turns are multiplied by to be upright again.
_QUARTERS = np.stack(
    [
        np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]]).round()
        for a in np.arange(4) * np.pi / 2
    ]
)


class DepthPoseEstimator(PoseNetwork):
    """A pose network for depth, and its engine.

    Networks see right hands only: a left one's crop is mirrored before and its joints after.

    Raises:
        ModelError: the model is missing, damaged or not a pose network for depth.
        EngineError: the engine is not installed.

    """

    needs = frozenset({Channel.DEPTH})

    def __init__(self, settings: ModelSettings = ModelSettings(), timer: StageTimer | None = None) -> None:
        super().__init__(settings, timer, POSE, channels=1)

    def estimate(self, frame: CameraFrame, regions: Sequence[CubeRegion], views: int = 1) -> list[HandEstimate]:
        """See ``PoseEstimator.estimate``."""
        assert frame.depth is not None
        with self._timer('crop'):
            # Regions that differ only by the way they are shown have one image.
            shared: dict[tuple, int] = {}
            places = [shared.setdefault((*one.center, one.size_m, one.side), len(shared)) for one in regions]
            first = [regions[places.index(n)] for n in range(len(shared))]
            crops = np.stack([one.cut(frame.depth, frame.camera, self.input_size) for one in first])[:, None]
        with self._timer('network'):
            return self.estimate_crops(crops[places], regions, VIEWS[views])

    def estimate_crops(
        self, crops: np.ndarray, regions: Sequence[CubeRegion], turns: Sequence[int] = (0,)
    ) -> list[HandEstimate]:
        """Run the network over images of cubes.

        Args:
            crops: (N, 1, S, S) as ``cut_cube`` cuts them.
            regions: the N cubes that they were cut from.
            turns: quarter turns in which each is shown, besides its region's own.

        Returns:
            For each cube an estimate, merged of all turns.

        """
        turned = [(crop, (turn + region.quarter_turns) % 4) for turn in turns for crop, region in zip(crops, regions)]
        shown = np.stack([np.rot90(crop, turn, (1, 2)) for crop, turn in turned])
        joints, sigma, right = self.engine(shown)
        upright = joints.astype(float) @ _QUARTERS[[turn for _, turn in turned]]
        coverage = (np.count_nonzero(crops < 1, axis=(1, 2, 3)) / crops[0].size).tolist() * len(turns)
        every = [
            self._estimate(*one) for one in zip(upright, sigma, right.tolist(), coverage, list(regions) * len(turns))
        ]
        return [merge(every[n :: len(regions)]) for n in range(len(regions))]

    def _estimate(
        self, joints: np.ndarray, sigma: np.ndarray, right: float, coverage: float, region: CubeRegion
    ) -> HandEstimate:
        joints = cube_to_camera(joints, region.center, region.half_m, region.side == 'left')
        sigma = region.half_m * sigma
        confidence = self.model.joint_confidence(sigma)
        return HandEstimate(
            joints,
            confidence,
            sigma,
            float(confidence.mean()),
            right,
            region.about(joints),
            coverage,
        )
