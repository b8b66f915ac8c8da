"""Finds hands in colour images, follows them from one to the next, and estimates their pose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hand_pose_ros.estimation.color_pose import ColorPose, ColorPoseEstimator, merge
from hand_pose_ros.estimation.engines import open_engine, warm_up
from hand_pose_ros.estimation.models import DETECTOR, find_model
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.hand_model.fitting import HandFitter
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.hand_model.surface import SurfaceFitter
from hand_pose_ros.images import DepthImage
from hand_pose_ros.localization.aligned_depth import size_from_depth
from hand_pose_ros.localization.color_crop import CLOSER, ColorCrop
from hand_pose_ros.localization.crop import hand_centre
from hand_pose_ros.localization.detector import detect
from hand_pose_ros.parameters import TrackerParameters
from hand_pose_ros.pipeline.hand import Hand
from hand_pose_ros.pipeline.rectification import Rectification
from hand_pose_ros.pipeline.stages import Stages
from hand_pose_ros.pipeline.track import FRAME_TIME, Track, make_pair

#: A detection is looked at from this score on, and at most so many of them: the pose network, which sees more of a hand
#: than the detector does, has the last word on whether it is one.
DETECTED, CANDIDATES = 0.15, 4
#: Without a detection of this score, a hand may be where the detector does not see it.
LIKELY = 0.4
#: A hand is found from this probability on that its crop shows one, and a followed one is lost below the second.
FOUND, LOST = 0.5, 0.25
#: Frames between searches for a second hand while the first is followed.
SEARCH_EVERY = 6
#: Frames between guesses where such a hand might be, while none is followed, and which ways it may point then.
GUESS_EVERY = 3
UPRIGHT_OR_ASIDE = ((0.0, -1.0), (1.0, 0.0), (-1.0, 0.0))
#: Two hands whose crops' middles are this close, as a share of the larger one's half side, are one.
APART = 0.55
#: A crop was far off when the hand's own lies further beside it than this, or is larger or smaller by more than the
#: second, shares of the half side, or is turned by more than the third, radians.
FAR_OFF, RESIZE, TURN = 0.17, 0.2, 0.35
#: Further looks at a hand in one frame, at most, each by a better crop: how it is turned there, radians, and how much
#: closer the crop is, so that each errs otherwise.
AGAIN = ((0.0, 1.0), (0.15, 1.0), (-0.15, 1.05))
#: What each look consists of, by the parameter ``looks``: turns in radians that a hand is shown in.
SEEN = {1: (0.0,), 2: (0.15, -0.15), 4: (0.1, -0.1, 0.3, -0.3)}
#: Log odds that the detector's word on the side is worth: which side is looked at first, and little more.
DETECTED_SIDE = 0.3


@dataclass(kw_only=True, eq=False)
class _Track(Track):
    """Where to look for a hand next, mirrored for a left one, and its size once depth has told it."""

    crop: ColorCrop
    size: float | None = None


class ColorHandTracker:
    """Finds and follows hands through the images of one colour camera.

    One camera does not tell a small hand nearby from a large one far away: distances follow from the hand's size,
    which the parameter ``hand_size`` gives, or from a depth image that is registered to the colour image.

    Args:
        parameters: the settings; only those of the pipeline are looked at.

    Attributes:
        stage_times: seconds that each stage of the last frame took: ``localize``, ``crop``, ``network``, ``hand_model``.
        engine_description: engine, version, device, precision and model, for people.

    Raises:
        ModelError: a model file is missing or damaged.
        EngineError: the engine is not installed.

    """

    def __init__(self, parameters: TrackerParameters = TrackerParameters(modality='rgb')) -> None:
        self.parameters = parameters
        options = parameters.engine, parameters.threads, parameters.precision
        self._estimator = ColorPoseEstimator(parameters.model, *options)
        self._detector = open_engine(find_model('', DETECTOR), *options)
        warm_up(self._estimator.engine)
        warm_up(self._detector)
        self._fitter = HandFitter(*load_hand_models(parameters.hand_model))
        self._surfaces = SurfaceFitter(self._fitter)
        self._rectify = Rectification()
        self.model_name = self._estimator.model.name
        self.engine_description = f'{self._estimator.engine.description}, {self.model_name}'
        self._stages = Stages(('localize', 'crop', 'network', 'hand_model'))
        self._numbers = 0
        self._camera: Camera | None = None
        self.reset()

    @property
    def stage_times(self) -> dict[str, float]:
        return self._stages.seconds

    def reset(self) -> None:
        """Forget every hand that is followed (a new clip, a camera that jumped)."""
        self._tracks: list[_Track] = []
        self._unsearched: tuple[np.ndarray, Camera] | None = None
        self._stamp: float | None = None
        self._frames_since_search = SEARCH_EVERY
        self._frames_since_guess = GUESS_EVERY

    def process(self, image: np.ndarray, camera: Camera, stamp: float | None = None,
                depth: np.ndarray | DepthImage | None = None) -> list[Hand]:
        """Track hands in the next frame.

        Args:
            image: (H, W, 3) uint8 in bgr order.
            camera: of the same size.
            stamp: seconds, which smoothing goes by; without one, frames are taken to be 1/30 s apart.
            depth: (H, W) what the same camera would see in depth; an array is metres, 0 for holes.

        Returns:
            The hands seen, the surest first; at most one of each side.

        Raises:
            ValueError: the sizes of ``image``, ``camera`` and ``depth`` differ, or it is not a colour image.

        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f'a colour image has three channels of 8 bits, not {image.shape} {image.dtype}')
        if image.shape[:2] != (camera.height, camera.width):
            raise ValueError(f'the image is {image.shape[1]}x{image.shape[0]}, its camera '
                             f'{camera.width}x{camera.height}')
        if depth is not None:
            if depth.shape != image.shape[:2]:
                raise ValueError(f'the depth image is {depth.shape[1]}x{depth.shape[0]}, the colour image that it '
                                 f'belongs to {camera.width}x{camera.height}')
            depth = replace(depth if isinstance(depth, DepthImage) else DepthImage(depth), near=self.parameters.near,
                            far=self.parameters.far)
        if camera != self._camera:
            self.reset()   # Another camera, or a folder of photographs of several sizes.
            self._camera = camera
        elapsed = FRAME_TIME if stamp is None or self._stamp is None else stamp - self._stamp
        self._stamp = stamp
        self._stages.begin()
        self.prepare()
        followed, self._tracks = self._tracks, []
        poses = self._estimate(image, camera, followed)
        lost = len(self._tracks) < len(followed)
        if lost or not self._tracks:
            poses += self._find(image, camera, lost)
        else:
            self._unsearched = image, camera
        with self._stages('localize'):
            placed = [self._place(*one, depth, camera) for one in zip(self._tracks, poses)]
        surface = self._rectify(depth, camera) if self.parameters.fit_surface and depth is not None else None
        return self._report(poses, placed, surface, elapsed)

    def prepare(self) -> None:
        """Search the last image for more hands, if that was not done yet, see ``HandTracker.prepare``."""
        if self._unsearched is not None:
            (image, camera), self._unsearched = self._unsearched, None
            self._find(image, camera, lost=False)

    def _find(self, image: np.ndarray, camera: Camera, lost: bool) -> list[ColorPose]:
        """Look for new hands; adds their tracks to ``_tracks`` and returns their poses."""
        with self._stages('localize'):
            new = self._search(image, camera, lost)
        return self._estimate(image, camera, new)

    def _search(self, image: np.ndarray, camera: Camera, lost: bool) -> list[_Track]:
        """Look where there may be new hands: at once while none is followed or one was ``lost``, else now and then."""
        self._frames_since_search += 1
        soon = bool(self._tracks) and not lost and self._frames_since_search < SEARCH_EVERY
        if soon or len(self._tracks) >= self.parameters.max_hands:
            return []
        self._frames_since_search = 0
        places = detect(image[..., ::-1], self._detector, DETECTED)[:CANDIDATES]
        new: list[_Track] = []
        for found in places:
            crop = ColorCrop.of_square(camera, found.centre, found.half, found.direction,
                                       mirror=found.side == 'left')
            if any(_same(crop, track.crop) for track in self._tracks + new):
                continue
            self._numbers += 1
            odds = DETECTED_SIDE * (1 if found.side == 'right' else -1)
            new.append(_Track(number=self._numbers, crop=crop, right_odds=odds))
        if not self._tracks and not any(found.score >= LIKELY for found in places):
            new += self._guess(camera)
        return new

    def _guess(self, camera: Camera) -> list[_Track]:
        """Take a hand to fill the image, its fingers up or to either side: such hands the detector sees least well."""
        self._frames_since_guess += 1
        if self._frames_since_guess < GUESS_EVERY:
            return []
        self._frames_since_guess = 0
        middle = np.array([camera.width - 1, camera.height - 1]) / 2
        half = 0.55 * min(camera.width, camera.height)
        self._numbers += len(UPRIGHT_OR_ASIDE)
        return [_Track(number=self._numbers - i, crop=ColorCrop.of_square(camera, middle, half, direction))
                for i, direction in enumerate(UPRIGHT_OR_ASIDE)]

    def _look(self, image: np.ndarray, camera: Camera, crops: list[ColorCrop]) -> list[ColorPose]:
        return look_at(self._estimator, image, camera, crops, self.parameters.looks, self.parameters.hand_size,
                       self._stages)

    def _estimate(self, image: np.ndarray, camera: Camera, tracks: list[_Track]) -> list[ColorPose]:
        """Estimate the pose of tracks' hands, again where they are new or the crop was far off; add to ``_tracks`` those
        that are.

        Returns:
            The poses of the tracks that were added.

        """
        if not tracks:
            return []
        poses = self._look_on_both_sides(image, camera, tracks)
        crops = [track.crop for track in tracks]
        look_closer(partial(self._look, image, camera), crops, poses, [track.side == 'left' for track in tracks],
                    [track.frames == 0 for track in tracks], camera)
        for track, crop in zip(tracks, crops):
            track.crop = crop
        kept: list[ColorPose] = []
        for track, pose in sorted(zip(tracks, poses), key=lambda one: (-min(one[0].frames, 10), -one[1].presence)):
            if (pose.presence >= (LOST if track.frames else FOUND) and _in_view(pose.joints, camera)
                    and len(self._tracks) < self.parameters.max_hands
                    and not any(_same(track.crop, other.crop) for other in self._tracks)):
                track.frames += 1
                self._tracks.append(track)
                kept.append(pose)
        added = self._tracks[len(self._tracks) - len(kept):]
        other = make_pair(self._tracks, added)
        if other is not None:
            other.crop = other.crop.mirrored()
            kept[added.index(other)], = self._look(image, camera, [other.crop])
        return kept

    def _look_on_both_sides(self, image: np.ndarray, camera: Camera, tracks: list[_Track]) -> list[ColorPose]:
        """First look at every track's hand: as its side's and, until the track is sure, as the other side's too."""
        unsure = [track for track in tracks if not track.sure]
        poses = self._look(image, camera, [t.crop for t in tracks] + [t.crop.mirrored() for t in unsure])
        others = dict(zip((t.number for t in unsure), poses[len(tracks):]))
        chosen = []
        for track, pose in zip(tracks, poses):
            other = others.get(track.number)
            if track.hear(pose.side_odds, None if other is None else other.side_odds):
                track.crop = track.crop.mirrored()
                pose = other if other is not None else self._look(image, camera, [track.crop])[0]
            chosen.append(pose)
        return chosen

    def _place(self, track: _Track, pose: ColorPose, depth: DepthImage | None, camera: Camera) -> np.ndarray:
        """Move a hand's joints along their lines of sight to where depth sees the hand, now or the last time."""
        assumed = self.parameters.hand_size
        if depth is not None:
            track.size = size_from_depth(pose.joints, assumed, pose.confidence, depth, camera) or track.size
        return pose.joints * (track.size or assumed) / assumed

    def _report(self, poses: list[ColorPose], placed: list[np.ndarray], surface: tuple[DepthImage, Camera] | None,
                elapsed: float) -> list[Hand]:
        hands: list[Hand] = []
        for track, pose, joints in sorted(zip(self._tracks, poses, placed), key=lambda one: -one[1].presence):
            if pose.presence < self.parameters.min_score or any(hand.side == track.side for hand in hands):
                continue
            with self._stages('hand_model'):
                if surface is not None:
                    spread = pose.spread * (track.size or self.parameters.hand_size) / self.parameters.hand_size
                    joints = track.on_surface(self._surfaces, joints, spread, *surface)
                joints = track.smooth(joints, elapsed) if self.parameters.smoothing else joints
                fit = self._fitter.fit(joints, track.side, mesh=self.parameters.mesh, state=track.fit)
            hands.append(Hand(track.side, pose.presence, joints, pose.confidence, fit, track.number))
        return hands


def look_at(estimator: ColorPoseEstimator, image: np.ndarray, camera: Camera, crops: list[ColorCrop], looks: int,
            size: float, stages: Stages) -> list[ColorPose]:
    """Estimate the poses of hands by several looks at each.

    Args:
        estimator: looks.
        image: (H, W, 3) uint8 in bgr order.
        camera: of the image.
        crops: the squares that the hands are followed in.
        looks: at each hand, see ``SEEN``.
        size: of the hands, metres (``crop.hand_size``).
        stages: take the time of ``crop`` and ``network``.

    """
    if not crops:
        return []
    shown = [crop.seen(turn, CLOSER) for turn in SEEN[looks] for crop in crops]
    with stages('crop'):
        images = estimator.cut(image, camera, shown)
    with stages('network'):
        poses = estimator.estimate(images, shown, size)
    return [merge(poses[i::len(crops)]) for i in range(len(crops))]


def look_closer(look: Callable[[list[ColorCrop]], list[ColorPose]], crops: list[ColorCrop], poses: list[ColorPose],
                mirror: list[bool], new: list[bool], camera: Camera) -> None:
    """Bring crops to where their hands are, and look again at hands that are new or were far off.

    Args:
        look: makes the poses of crops.
        crops: that were looked at; they become those of the hands.
        poses: what was seen in them; they become those of all looks.
        mirror: whether a hand is a left one.
        new: whether a hand was not followed before: it is looked at again as often as ``AGAIN`` says.
        camera: of the image.

    """
    seen = [[pose] for pose in poses]
    wanted = range(len(crops))
    for ways in (*AGAIN, None):  # after the last look only the crops change
        again = []
        for i in wanted:
            if poses[i].presence < LOST or not _in_view(poses[i].joints, camera):
                continue
            crop = ColorCrop.of_hand(poses[i].joints, mirror[i])
            if new[i] or _far(crops[i], crop):
                again.append(i)
            crops[i] = crop
        if ways is None or not again:
            return
        for i, pose in zip(again, look([crops[i].seen(*ways) for i in again])):
            seen[i].append(pose)
            # The last look says whether it is a hand; where its joints are, all do.
            poses[i] = replace(pose, joints=merge(seen[i]).joints)
        wanted = again


def _far(before: ColorCrop, after: ColorCrop) -> bool:
    return bool(before.beside(after) > FAR_OFF or abs(np.log(after.reach / before.reach)) > RESIZE
                or before.turned(after) > TURN)


def _same(one: ColorCrop, other: ColorCrop) -> bool:
    return bool(min(one.beside(other), other.beside(one)) < APART)


def _in_view(joints: np.ndarray, camera: Camera) -> bool:
    """Whether a hand's middle is before the camera and in its image."""
    centre = hand_centre(joints)
    if not np.isfinite(centre).all() or (joints[:, 2] < 0.02).any():
        return False
    pixel = camera.project(centre[None])[0]
    return bool((pixel > 0).all() and (pixel < (camera.width, camera.height)).all())
