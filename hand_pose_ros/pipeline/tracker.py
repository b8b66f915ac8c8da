"""Finds hands in depth frames, follows them from one to the next, and estimates their pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hand_pose_ros.estimation.engines import open_engine, warm_up
from hand_pose_ros.estimation.models import CENTRE, find_model
from hand_pose_ros.estimation.pose import Cube, Pose, PoseEstimator, filled_share, merge
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import other_side
from hand_pose_ros.hand_model.fitting import SIZE_LIMITS, HandFitter, extent
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.hand_model.surface import SurfaceFitter
from hand_pose_ros.images import DepthImage
from hand_pose_ros.localization.crop import hand_centre, hand_size
from hand_pose_ros.localization.refiner import Refinement, refine
from hand_pose_ros.localization.search import propose_centres
from hand_pose_ros.parameters import LOOKS, TrackerParameters
from hand_pose_ros.pipeline.hand import Hand
from hand_pose_ros.pipeline.rectification import Rectification
from hand_pose_ros.pipeline.stages import Stages
from hand_pose_ros.pipeline.track import FRAME_TIME, Track, make_pair

#: A refined centre may be a hand from this probability on, one beside another hand only from the second on, and a
#: followed hand is lost below the third.
FOUND, FOUND_BESIDE, LOST = 0.35, 0.98, 0.2
#: A hand beside another one is reported once its score has been this high: a lone hand has fewer rivals.
SURE = 0.84
#: A hand that refinement takes for none, as it does with fists that point at the camera, is still followed while the pose
#: network sees it clearly, about as much of its cube is filled as before (a factor), it has not moved, and what refinement
#: said before, forgotten by so much each frame, is above the third.
SAME_FILLED = 1.5
PRESENCE_MEMORY = 0.9
#: Frames between searches for a second hand while the first is followed.
SEARCH_EVERY = 5
#: Two hands' centres are never this close, metres.
APART = 0.07
#: Score that a metre of distance costs a hand against another: a new one, or one of its side.
FARTHER = 0.5
#: A hand is seen clearly from this mean confidence of its joints on, and if none is below the second.
CLEAR, CLEAR_JOINT = 0.6, 0.4
#: Further looks at a hand that is not, in quarter turns of its crop.
TURNED = LOOKS[max(LOOKS)][1:]
#: A followed hand's crop moves when refinement sees its centre this far off, as a share of the hand's size.
MOVED = 0.35
#: A hand that moved no further than this from one frame to the next is the same hand, metres.
JUMP = 0.25
#: A crop was far off when its joints' centre lies further than this from it, or their size is off by more than this:
#: both as shares of the hand's size. Training has seen errors of that size seldom.
FAR_OFF, RESIZE = 0.22, 0.12
#: Weight of the past in a track's size, each frame.
SIZE_MEMORY = 0.85
#: Log odds of its side that a metre of distance costs the one of two hands of one side that gives way.
PAIR_FARTHER = 8.0
#: Sizes of hands, wrist to knuckles, from a small child's to a large adult's, metres.
SMALLEST, LARGEST = 0.045, 0.125


@dataclass(kw_only=True, eq=False)
class _Track(Track):
    """Where a hand is, how large, and how sure it is that it is one."""

    centre: np.ndarray
    size: float
    presence: float
    doubtful: bool = False
    filled: float = 0.0
    confirmed: bool = False

    def cube(self) -> Cube:
        return Cube(self.centre, self.size, self.side)


class HandTracker:
    """Finds and follows hands through the depth frames of one camera.

    Args:
        parameters: the settings; only those of the pipeline are looked at.

    Attributes:
        stage_times: seconds that each stage of the last frame took: ``localize``, ``crop``, ``network``, ``hand_model``.
        engine_description: engine, version, device, precision and model, for people.

    Raises:
        ModelError: a model file is missing or damaged.
        EngineError: the engine is not installed.

    """

    def __init__(self, parameters: TrackerParameters = TrackerParameters()) -> None:
        self.parameters = parameters
        self._estimator = PoseEstimator(parameters.model, parameters.engine, parameters.threads,
                                        parameters.precision)
        self._refiner = open_engine(find_model('', CENTRE), parameters.engine, parameters.threads, parameters.precision)
        warm_up(self._estimator.engine)
        warm_up(self._refiner)
        self._fitter = HandFitter(*load_hand_models(parameters.hand_model))
        self._surfaces = SurfaceFitter(self._fitter)
        self.model_name = self._estimator.model.name
        self.engine_description = f'{self._estimator.engine.description}, {self.model_name}'
        self._stages = Stages(('localize', 'crop', 'network', 'hand_model'))
        self._rectify = Rectification()
        self._numbers = 0
        self._camera: Camera | None = None
        self.reset()

    @property
    def stage_times(self) -> dict[str, float]:
        return self._stages.seconds

    def reset(self) -> None:
        """Forget every hand that is followed (a new clip, a camera that jumped)."""
        self._tracks: list[_Track] = []
        self._just_lost: list[_Track] = []
        self._unchecked: tuple[DepthImage, Camera, set[int]] | None = None
        self._stamp: float | None = None
        self._frames_since_search = SEARCH_EVERY

    def process(self, depth: np.ndarray | DepthImage, camera: Camera, stamp: float | None = None) -> list[Hand]:
        """Track hands in the next frame.

        Args:
            depth: (H, W); an array is in metres, with 0, NaN or inf where there is no return.
            camera: of the same size.
            stamp: seconds, which smoothing goes by; without one, frames are taken to be 1/30 s apart.

        Returns:
            The hands seen, the surest first; at most one of each side.

        Raises:
            ValueError: the sizes of ``depth`` and ``camera`` differ.

        """
        if depth.shape != (camera.height, camera.width):
            raise ValueError(f'the depth image is {depth.shape[1]}x{depth.shape[0]}, its camera '
                             f'{camera.width}x{camera.height}')
        if camera != self._camera:
            self.reset()   # Another camera, or a folder of photographs of several sizes.
            self._camera = camera
        elapsed = FRAME_TIME if stamp is None or self._stamp is None else stamp - self._stamp
        self._stamp = stamp
        self._stages.begin()
        self.prepare()
        with self._stages('localize'):
            view, camera = self._view(depth, camera)
            if not self._tracks:
                self._search(view, camera)
        poses, checked = self._look_first(view, camera)
        self._just_lost = []
        poses = self._look_further(view, camera, poses)
        self._unchecked = view, camera, checked
        return self._report(view, camera, poses, elapsed)

    def prepare(self) -> None:
        """Check whether the hands of the last image are hands, and search it for others, if that was not done yet.

        :meth:`process` begins with it. Who calls it as soon as the hands of an image are on their way gets those of the
        next image sooner.
        """
        if self._unchecked is None:
            return
        view, camera, checked = self._unchecked
        self._unchecked = None
        with self._stages('localize'):
            self._follow(view, camera, [track for track in self._tracks if track.number not in checked])
            if self._tracks:
                self._search(view, camera)

    def _view(self, depth: np.ndarray | DepthImage, camera: Camera) -> tuple[DepthImage, Camera]:
        """View the depth within reach and, for a camera with distortion, rectify it."""
        if not isinstance(depth, DepthImage):
            depth = DepthImage(depth)
        if depth.pixels.dtype not in (np.uint16, np.float32):   # In this machine's byte order, that is.
            depth = DepthImage(depth[:])
        depth, camera = self._rectify(depth, camera)
        return replace(depth, near=self.parameters.near, far=self.parameters.far), camera

    def _follow(self, depth: DepthImage, camera: Camera, tracks: list[_Track]) -> None:
        """Refine the centres of tracks from where their hands were; drop those whose hand is gone."""
        if not tracks:
            return
        found = refine(depth, camera, np.array([t.centre for t in tracks]), self._refiner)
        for i, track in enumerate(tracks):
            seen = float(found.presence[i])
            moved = np.linalg.norm(found.centres[i] - track.centre) > MOVED * track.size
            track.doubtful = seen < LOST
            track.presence = max(seen, PRESENCE_MEMORY * track.presence)
            if (track.presence < LOST or not self._in_view(found.centres[i])
                    or track.doubtful and (moved or not self._filled_as_before(track, depth, camera))):
                self._just_lost.append(track)
            elif moved:
                # Of small motions the last joints know more than the refinement does.
                track.centre = found.centres[i]
        self._tracks = [track for track in self._tracks if track not in self._just_lost]

    def _filled_as_before(self, track: _Track, depth: DepthImage, camera: Camera) -> bool:
        filled = float(filled_share(self._estimator.cut(depth, camera, [track.cube()]))[0])
        return _about(filled, track.filled)

    def _in_view(self, centre: np.ndarray) -> bool:
        return bool(np.isfinite(centre).all() and 0.5 * self.parameters.near < centre[2] < 1.2 * self.parameters.far)

    def _search(self, depth: DepthImage, camera: Camera) -> None:
        """Look for new hands: in every frame while none is followed, else now and then while one may be missing."""
        self._frames_since_search += 1
        if len(self._tracks) >= self.parameters.max_hands:
            return
        if self._tracks and self._frames_since_search < SEARCH_EVERY:
            return
        self._frames_since_search = 0
        proposals = propose_centres(depth, camera, known=[t.centre for t in self._tracks])
        if not len(proposals):
            return
        first = refine(depth, camera, proposals, self._refiner)
        likely = np.argsort(-first.presence)[:8]
        likely = [i for i in likely if first.presence[i] > 0.15 and self._in_view(first.centres[i])]
        if not likely:
            return
        second = refine(depth, camera, first.centres[likely], self._refiner)
        # Of two that look like hands, the nearer one is more often it: the closest object, as the papers have it.
        for i in np.argsort(FARTHER * second.centres[:, 2] - second.presence):
            enough = FOUND_BESIDE if self._tracks else FOUND
            if len(self._tracks) >= self.parameters.max_hands:
                break
            if second.presence[i] >= enough and self._in_view(second.centres[i]) and all(
                    np.linalg.norm(second.centres[i] - t.centre) > 1.5 * APART for t in self._tracks):
                self._tracks.append(self._new_track(second, i))

    def _new_track(self, found: Refinement, i: int) -> _Track:
        """Start a track, or go on with one that lost its hand in this very frame not far from here."""
        for track in self._just_lost:
            if np.linalg.norm(track.centre - found.centres[i]) < JUMP:
                self._just_lost.remove(track)
                track.centre, track.presence, track.doubtful = found.centres[i], float(found.presence[i]), False
                return track
        self._numbers += 1
        return _Track(number=self._numbers, centre=found.centres[i], presence=float(found.presence[i]),
                      size=float(np.clip(found.sizes[i], SMALLEST, LARGEST)))

    def _run(self, depth: DepthImage, camera: Camera, cubes: list[Cube], turns: Sequence[int] = (0,)) -> list[list[Pose]]:
        with self._stages('crop'):
            crops = self._estimator.cut(depth, camera, cubes)
        with self._stages('network'):
            return self._estimator.estimate(crops, cubes, turns)

    def _look(self, depth: DepthImage, camera: Camera, which: list[int], turns: Sequence[int] = (0,)) -> list[list[Pose]]:
        return self._run(depth, camera, [self._tracks[i].cube() for i in which], turns) if which else []

    def _look_first(self, depth: DepthImage, camera: Camera) -> tuple[list[Pose], set[int]]:
        """Look for each track's hand where it was, and where refinement finds it if it is gone from there.

        Returns:
            The tracks' poses, and the numbers of those that refinement was asked about.

        """
        poses = self._look_on_both_sides(depth, camera, self._tracks)
        gone = [track for track, pose in zip(self._tracks, poses) if track.frames and (
            pose.confidence.mean() < CLEAR or not _about(pose.filled, track.filled)
            or _beside(pose, track))]
        if not gone:
            return poses, set()
        seen = {track.number: (track.centre, pose) for track, pose in zip(self._tracks, poses)}
        with self._stages('localize'):
            self._follow(depth, camera, gone)
            if self._just_lost:
                self._search(depth, camera)
        elsewhere = [t for t in self._tracks if t.number not in seen or t.centre is not seen[t.number][0]]
        there = dict(zip((t.number for t in elsewhere), self._look_on_both_sides(depth, camera, elsewhere)))
        return ([there[t.number] if t.number in there else seen[t.number][1] for t in self._tracks],
                {track.number for track in gone})

    def _look_further(self, depth: DepthImage, camera: Camera, poses: list[Pose]) -> list[Pose]:
        """Look again at the hands that are not clear, and keep the tracks of what is a hand; returns these's poses.

        The first look also corrects the crop's centre and size for further ones, which see the hand turned; all are
        merged, unless the first crop was so far off that only the others count, which are then checked by a last one. A
        good crop of a hand that is seen clearly needs no second look.
        """
        far = [self._recentre(track, pose) for track, pose in zip(self._tracks, poses)]
        again = [i for i, pose in enumerate(poses) if far[i] or not is_clear(pose)]
        for i, others in zip(again, self._look(depth, camera, again, TURNED)):
            poses[i] = merge(others if far[i] else [poses[i], *others])
        off = [i for i in again if far[i]]
        for i in off:
            self._recentre(self._tracks[i], poses[i])
        for i, last in zip(off, self._look(depth, camera, off)):
            poses[i] = merge([poses[i], *last])
        for track, pose in zip(self._tracks, poses):
            track.centre = hand_centre(pose.joints)
            track.frames += 1
        return self._keep_hands(poses)

    def _recentre(self, track: _Track, pose: Pose) -> bool:
        """Move a track to the joints found; returns whether its crop was far off."""
        size = float(np.clip(hand_size(pose.joints), SMALLEST, LARGEST))
        centre = hand_centre(pose.joints)
        # A new track learns its size at once, an old one slowly: bones do not grow.
        memory = SIZE_MEMORY if track.frames else 0.0
        wanted = track.size ** memory * size ** (1 - memory)
        far = _beside(pose, track) or abs(np.log(wanted / track.size)) > RESIZE
        track.size = wanted
        if self._in_view(centre):
            track.centre = centre
        return bool(far)

    def _look_on_both_sides(self, depth: DepthImage, camera: Camera, tracks: list[_Track]) -> list[Pose]:
        """First look at tracks' hands: as their sides' and, until a track is sure, as the other side's too.

        Where one is new, at every way round: its side is wrong less often.
        """
        if not tracks:
            return []
        unsure = [t for t in tracks if not t.sure]
        cubes = [t.cube() for t in tracks]
        mirrored = [replace(t.cube(), side=other_side(t.side)) for t in unsure]
        turns = LOOKS[self.parameters.looks if all(track.frames for track in tracks) else max(LOOKS)]
        poses = [merge(looks) for looks in self._run(depth, camera, cubes + mirrored, turns)]
        looks = [{track.side: pose} for track, pose in zip(tracks, poses)]
        for track, pose in zip(unsure, poses[len(cubes):]):
            looks[tracks.index(track)][other_side(track.side)] = pose
        for track, seen in zip(tracks, looks):
            own, other = seen[track.side], seen.get(other_side(track.side))
            track.hear(own.side_odds, None if other is None else other.side_odds)
        # What is much farther is rather mistaken for a hand of that side.
        make_pair(self._tracks, tracks, lambda one: abs(one.right_odds) - PAIR_FARTHER * one.centre[2])
        return [seen[track.side] if track.side in seen else self._run(depth, camera, [track.cube()])[0][0]
                for track, seen in zip(tracks, looks)]

    def _keep_hands(self, poses: list[Pose]) -> list[Pose]:
        """Keep what is a hand; of two tracks that have come to one hand the longer one, or of two new ones the surer."""
        def rank(i: int) -> tuple:
            return -min(self._tracks[i].frames, 10), -poses[i].confidence.mean()

        def is_hand(track: _Track, pose: Pose) -> bool:
            clear = not track.doubtful or pose.confidence.mean() >= CLEAR
            sized = SMALLEST / 2 < hand_size(pose.joints) < 2 * LARGEST
            return bool(clear and sized and SIZE_LIMITS[0] < extent(pose.joints) < SIZE_LIMITS[1])

        kept: list[int] = []
        for i in sorted(range(len(poses)), key=rank):
            if is_hand(self._tracks[i], poses[i]) and all(
                    np.linalg.norm(self._tracks[i].centre - self._tracks[k].centre) > APART for k in kept):
                kept.append(i)
                self._tracks[i].filled = poses[i].filled
        self._tracks = [self._tracks[i] for i in kept]
        return [poses[i] for i in kept]

    def _report(self, depth: DepthImage, camera: Camera, poses: list[Pose], elapsed: float) -> list[Hand]:
        hands: list[Hand] = []
        scores = [float(np.sqrt(track.presence * pose.confidence.mean())) for track, pose in zip(self._tracks, poses)]
        # Of two that look like hands of one side, the farther is more often none.
        order = np.argsort([FARTHER * track.centre[2] - score for track, score in zip(self._tracks, scores)])
        for track, pose, score in ((self._tracks[i], poses[i], scores[i]) for i in order):
            track.confirmed |= score >= SURE
            doubtful = len(self._tracks) > 1 and not track.confirmed
            if score < self.parameters.min_score or doubtful or any(h.side == track.side for h in hands):
                continue
            with self._stages('hand_model'):
                joints = pose.joints
                if self.parameters.fit_surface:
                    joints = track.on_surface(self._surfaces, joints, pose.spread, depth, camera, pose.opinions, elapsed)
                joints = track.smooth(joints, elapsed) if self.parameters.smoothing else joints
                fit = self._fitter.fit(joints, track.side, mesh=self.parameters.mesh, state=track.fit)
            hands.append(Hand(track.side, score, joints, pose.confidence, fit, track.number))
        return sorted(hands, key=lambda h: -h.score)


def is_clear(pose: Pose) -> bool:
    """Whether a hand is seen clearly, so that its tracker looks once; at others it looks again, turned in ``TURNED``."""
    return bool(pose.confidence.mean() >= CLEAR and pose.confidence.min() >= CLEAR_JOINT)


def _beside(pose: Pose, track: _Track) -> bool:
    """Whether a hand lies far off the centre of its track, which its crop was cut around."""
    return bool(np.linalg.norm(hand_centre(pose.joints) - track.centre) > FAR_OFF * track.size)


def _about(filled: float, before: float) -> bool:
    """Whether about as much of a cube is filled as before."""
    return 1 / SAME_FILLED < filled / max(before, 1e-3) < SAME_FILLED
