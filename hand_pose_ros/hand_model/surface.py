"""Bring the hand model to what a depth image shows of a hand: articulated iterative closest point.

A network knows what is what in an image; the image knows better where it is. From the network's joints on, Gauss-Newton
steps on the rigid pose, all angles, the shape and the bones' lengths make these small together:

1. how far the image's points lie from the surface nearby that faces the camera, along its normals;
2. how far parts of the surface lie beside the hand where the camera sees past them;
3. how far the joints lie from the network's, by its own measure of their spread;
4. what angles, shape and lengths differ from what is usual.

In depth images of a hand that moves, its points lie as if it stood beside where it is (``training.synthesis.motion`` says
why). So the points may be those of a hand that is moved and turned in the image's plane, and count for less, the faster
it is.

Where opinions on the hand differ much it starts from each of them, and the image decides between where they lead.

The terms are those of Tagliasacchi, Schroeder, Tkach, Bouaziz, Botsch, Pauly: "Robust Articulated-ICP for Real-Time Hand
Tracking", Computer Graphics Forum 34(5), 2015, section 4; the network takes the place of their tracking from frame to
frame and of their detected fingertips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import BONES, KNUCKLES, WRIST
from hand_pose_ros.hand_model.fitting import (CROSS, DOF_FINGER, DOF_LEVEL, SHAPE_LIMIT, STRETCH_LIMITS, BonePose,
                                              FitState, HandFitter, RightHand, Rig, beyond_limits, fill_rigid)
from hand_pose_ros.hand_model.kinematics import DOF_NAMES

#: Steps at least and at most: it ends when no joint moves farther than this in one, metres.
LEAST_STEPS, MOST_STEPS, SETTLED = 4, 12, 0.001
#: A hand's shape and bones are fitted in its first frames, and then in one frame of so many: what it showed before is on
#: average nearer the truth than what one image says.
SHAPE_FRAMES = 10
#: Standard deviation of a point along the surface's normal, metres, of a hand at rest, and what each m/s adds; all points
#: together weigh as this many, as what one is off by its neighbours are too.
POINT_NOISE, NOISE_PER_SPEED, POINTS_WORTH = 0.0015, 0.0015, 80.0
#: Most points that are looked at.
POINTS = 800
#: A point belongs to the surface within this, metres: at first the one, in the end the other, falling by a factor each step.
FIRST_REACH, LAST_REACH, REACH_FALL = 0.02, 0.008, 0.6
#: Weight of a point's distance in every direction against that along the normal, in the first steps and in the others:
#: it draws a finger along itself, and to where it is not yet.
PULL_STEPS, FIRST_PULL, PULL = 2, 0.2, 0.03
#: Surface that the camera sees past, by more than this, is drawn to the hand's nearest pixel; not by the first metres, as
#: cameras lose the edges of what they see, nor from beyond the last.
SEEN_PAST, EDGE, FARTHEST_BESIDE = 0.02, 0.004, 0.03
#: Weight of all such surface, in points, were the whole hand beside itself.
BESIDE_WORTH = 40.0
#: Least standard deviation of a network's joint, metres.
LEAST_SPREAD = 0.003
#: Standard deviation of how far the points lie as if the hand were beside itself, metres: of one at rest, and what each
#: m/s adds; a turn counts by what it moves at so many metres from the hand's middle.
LEAST_SLIP, SLIP_PER_SPEED, LEVER = 0.0005, 0.006, 0.05
#: Pixels within this of a bone may be the hand's, as a share of the hand's size.
FLESH = 0.3
#: Fewer points than this say nothing.
ENOUGH = 50
#: Another opinion is tried if one of its joints is this far off, metres, and taken if it differs from the image by so much
#: less on average, metres; what is farther off than the last counts as this.
DIFFERENT, BETTER, FARTHEST_OFF = 0.02, 0.0002, 0.015

_MIRROR = np.array([-1.0, 1.0, 1.0])
_DAMPING = 1e-3


class SurfaceFitter:
    """Brings joints of either side's hand to depth images.

    Args:
        fitter: whose hand models are taken.

    """

    def __init__(self, fitter: HandFitter) -> None:
        self._surfaces = {side: _Surface(hand) for side, hand in fitter.hands.items()}

    def fit(self, joints: np.ndarray, spread: np.ndarray, side: str, depth: np.ndarray, camera: Camera,
            state: FitState | None = None, others: Sequence[tuple[np.ndarray, np.ndarray]] = (),
            speed: float = 0.0) -> np.ndarray:
        """Bring the joints of one hand to a depth image.

        Args:
            joints: (21, 3) metres, camera optical frame, as a network estimates them.
            spread: (21,) metres, how far each of them may be off.
            side: ``left`` or ``right``.
            depth: (H, W) metres, 0 for holes; of an image or of a part of it.
            camera: pinhole of ``depth``.
            state: what is known of this hand from earlier frames: its shape, which :meth:`HandFitter.fit` brings up to
                date, and how many times this was done.
            others: joints and spread of other opinions on this hand.
            speed: of the hand, m/s.

        Returns:
            (21, 3) metres: the joints of the hand model as the image shows it, or those given where there are too few
            points.

        """
        opinions = [(joints, spread)]
        opinions += [other for other in others if np.linalg.norm(other[0] - joints, axis=1).max() > DIFFERENT]
        if side == 'right':
            return self._surfaces[side].fit(opinions, depth, camera, state, speed)
        opinions = [(joints * _MIRROR, spread) for joints, spread in opinions]
        flipped = Camera(camera.width, camera.height, camera.fx, camera.fy, camera.width - 1 - camera.cx, camera.cy)
        return self._surfaces[side].fit(opinions, depth[:, ::-1], flipped, state, speed) * _MIRROR


class _Surface:
    """The surface of one model of a right hand."""

    def __init__(self, hand: RightHand) -> None:
        self.hand = hand
        self.count = len(DOF_NAMES) + 6
        # How much of each vertex an angle turns: its share in the bones from the angle's own outwards.
        fingers = hand.model.weights[:, 1:].astype(float).reshape(-1, *hand.axes.shape[:2])
        self.turned = np.cumsum(fingers[:, :, ::-1], 2)[:, :, ::-1][:, DOF_FINGER, DOF_LEVEL]
        self.normals = _vertex_normals(hand.model.vertices, hand.model.faces)
        self.limits = np.concatenate([np.tile([[-SHAPE_LIMIT], [SHAPE_LIMIT]], hand.model.shape_size),
                                      np.tile(np.log(STRETCH_LIMITS)[:, None], len(hand.along))], 1)

    def fit(self, opinions: Sequence[tuple[np.ndarray, np.ndarray]], depth: np.ndarray, camera: Camera,
            state: FitState | None, speed: float) -> np.ndarray:
        """The joints to which the first of some opinions, joints and spread, leads, or one that the image fits better."""
        joints = opinions[0][0]
        views = [_Seen(one, depth, camera) for one, _ in opinions]
        if len(views[0].points) < ENOUGH:
            return joints
        state = FitState() if state is None else state
        shaped = state.surfaces < SHAPE_FRAMES or state.surfaces % SHAPE_FRAMES == 0
        state.surfaces += 1
        if state.shape is None:
            state = replace(state)
            self.hand.settle(joints, state)
        rig = self.hand.rig(state.shape, state.log_stretch)
        found = [self._brought(*opinion, seen, rig, shaped, speed) for opinion, seen in zip(opinions, views)
                 if len(seen.points) >= ENOUGH]
        best = 0
        if len(found) > 1:
            off = [self._off(views[0], *one) for one in found]
            best = int(np.argmin(off)) if min(off) < off[0] - BETTER else 0
        return found[best][0].joints

    def _brought(self, joints: np.ndarray, spread: np.ndarray, seen: '_Seen', rig: Rig,
                 shaped: bool, speed: float) -> tuple[BonePose, Rig]:
        """The hand to which joints lead."""
        hand = self.hand
        noise, slip = POINT_NOISE + NOISE_PER_SPEED * speed, LEAST_SLIP + SLIP_PER_SPEED * speed
        middle, slipped = joints[list(KNUCKLES)].mean(0), np.zeros(3)
        pose = hand.pose(joints, rig)
        certainty = 1 / np.maximum(spread, LEAST_SPREAD)
        for step in range(MOST_STEPS):
            vertices, normals = self._surface(pose, rig)
            if step == 0:   # They change little.
                by_shape = self._by_shape(pose, rig, vertices, shaped)
            by_slip = _slips(vertices, middle)
            system = _System(self.count + by_shape[0].shape[2] + len(slipped))
            reach = max(LAST_REACH, FIRST_REACH * REACH_FALL ** step)
            pull = FIRST_PULL if step < PULL_STEPS else PULL
            which, pulls, forces = _to_points(seen, vertices + by_slip @ slipped, normals, reach, pull, noise)
            jacobian = self._jacobian(which, vertices, pose, by_shape[0])
            system.add(np.concatenate([jacobian, by_slip[which]], 2), pulls, forces)
            which, pulls, forces = _from_beside(seen, vertices)
            system.add(self._jacobian(which, vertices, pose, by_shape[0]), pulls, forces)
            self._add_joints(system, joints, certainty, pose, by_shape[1])
            self._add_priors(system, pose, rig, slipped, slip)
            change = system.solve(self._held(pose, system.right))
            before = pose.joints
            pose, rig = self._moved(pose, rig, change[:-len(slipped)])
            slipped = slipped + change[-len(slipped):]
            if step + 1 >= LEAST_STEPS and np.abs(pose.joints - before).max() < SETTLED:
                break
        return pose, rig

    def _surface(self, pose: BonePose, rig: Rig) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 3), metres, and their normals (V, 3)."""
        return self.hand.vertices(pose, rig).astype(float), self.hand.model.turn(self.normals, pose.bones).astype(float)

    def _off(self, seen: '_Seen', pose: BonePose, rig: Rig) -> float:
        """How far a hand differs from what is seen, metres: points that it leaves alone, surface before what is there."""
        vertices, normals = self._surface(pose, rig)
        facing = vertices[(normals * vertices).sum(1) < 0]
        _, gap = _nearest(seen.points, facing)
        before = seen.before(facing)
        return np.minimum(gap, FARTHEST_OFF).mean() + np.clip(before, 0, FARTHEST_OFF).mean()

    def _jacobian(self, which: np.ndarray, vertices: np.ndarray, pose: BonePose, by_shape: np.ndarray) -> np.ndarray:
        """Derivatives (K, 3, T) of vertices ``which`` (K,) by all variables."""
        here, count = vertices[which], self.count
        jacobian = np.empty((len(which), 3, count + by_shape.shape[2]))
        fill_rigid(jacobian, here - pose.wrist)
        axes = self.hand.turning_axes(pose)
        # Row by row of each matrix, v @ matrix is axis x v.
        cross = (axes @ CROSS).reshape(-1, 3, 3)
        pivots = (pose.fingers[DOF_FINGER, DOF_LEVEL][:, None] @ cross)[:, 0]
        turned = (here @ cross.transpose(1, 2, 0).reshape(3, -1)).reshape(-1, 3, len(cross)) - pivots.T
        jacobian[:, :, 6:count] = turned * self.turned[which, None]
        jacobian[:, :, count:] = by_shape[which]
        return jacobian

    def _by_shape(self, pose: BonePose, rig: Rig, vertices: np.ndarray, shaped: bool) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of vertices (V, 3, X) and joints (21, 3, X) by shape and lengths, by differences; X is 0 without."""
        small, joints = 1e-2, pose.joints
        known = rig.known
        by_vertex = np.empty((*vertices.shape, len(known) if shaped else 0))
        by_joint = np.empty((*joints.shape, by_vertex.shape[2]))
        for i in range(by_vertex.shape[2]):
            other = known.copy()
            other[i] += small
            other_rig = self._rig(other)
            other_pose = self.hand.evaluate(pose.angles, pose.rotation, pose.wrist, other_rig)
            by_vertex[..., i] = (self.hand.vertices(other_pose, other_rig) - vertices) / small
            by_joint[..., i] = (other_pose.joints - joints) / small
        return by_vertex, by_joint

    def _rig(self, known: np.ndarray) -> Rig:
        return self.hand.rig(*np.split(known, [self.hand.model.shape_size]))

    def _add_joints(self, system: '_System', joints: np.ndarray, certainty: np.ndarray, pose: BonePose,
                    by_shape: np.ndarray) -> None:
        left = joints - pose.joints
        weight = np.square(certainty) / (1 + np.square(np.linalg.norm(left, axis=1) * certainty / 3))
        jacobian = np.concatenate([self.hand.jacobian(pose).reshape(len(joints), 3, -1), by_shape], 2)
        system.add(jacobian, weight[:, None, None] * np.eye(3), weight[:, None] * left)

    def _add_priors(self, system: '_System', pose: BonePose, rig: Rig, slipped: np.ndarray, slip: float) -> None:
        slips = len(system.right) - len(slipped)
        angles, others = slice(6, self.count), slice(self.count, slips)
        hand = self.hand
        system.normal[angles, angles] += hand.prior_normal
        system.right[angles] += hand.prior.T @ (hand.prior_mean - hand.prior @ pose.angles)
        if slips > self.count:
            system.normal[others, others] += np.diag(hand.shape_prior)
            system.right[others] -= hand.shape_prior * rig.known
        system.normal[slips:, slips:] += np.eye(len(slipped)) / slip ** 2
        system.right[slips:] -= slipped / slip ** 2

    def _held(self, pose: BonePose, right: np.ndarray) -> np.ndarray:
        """Variables that stay: angles at their limit that are pushed beyond."""
        return 6 + np.flatnonzero(beyond_limits(pose.angles, right[6:self.count]))

    def _moved(self, pose: BonePose, rig: Rig, change: np.ndarray) -> tuple[BonePose, Rig]:
        if len(change) > self.count:
            rig = self._rig(np.clip(rig.known + change[self.count:], *self.limits))
        return self.hand.moved(pose, change[:self.count], rig), rig


def _to_points(seen: '_Seen', vertices: np.ndarray, normals: np.ndarray, reach: float, pull: float,
               noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What draws the surface to the points: vertices (K,), and :meth:`_System.add`'s pulls and forces on them."""
    facing = np.flatnonzero((normals * vertices).sum(1) < 0)
    near, gap = _nearest(seen.points, vertices[facing])
    close = gap < reach
    index = facing[near[close]]
    left = seen.points[close] - vertices[index]
    along = (left * normals[index]).sum(1)
    # Geman and McClure's weight: what lies far off is rather something else.
    weight = (1 + np.square(along / max(0.75 * LAST_REACH, reach / 2))) ** -2.0
    weight *= POINTS_WORTH / len(seen.points) / noise ** 2
    # A vertex has one derivative, however many points it is the nearest of.
    total = np.bincount(index, weight, len(vertices))
    which = np.flatnonzero(total)
    normal = normals[which]
    mean = np.stack([np.bincount(index, weight * left[:, i], len(vertices))[which] for i in range(3)], 1)
    along_mean = np.bincount(index, weight * along, len(vertices))[which]
    pulls = total[which, None, None] * (normal[:, :, None] * normal[:, None] + pull * np.eye(3))
    return which, pulls, along_mean[:, None] * normal + pull * mean


def _from_beside(seen: '_Seen', vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What draws surface that is beside the hand to it: the same as for the points."""
    which, left = seen.beside(vertices)
    gap = np.linalg.norm(left, axis=1)
    weight = (1 + np.square(gap / (FARTHEST_BESIDE / 2))) ** -2.0
    weight *= BESIDE_WORTH / len(vertices) / LEAST_SPREAD ** 2
    forces = np.zeros((len(which), 3))
    forces[:, :2] = (weight * (1 - EDGE / gap))[:, None] * left
    return which, weight[:, None, None] * np.diag([1.0, 1.0, 0.0]), forces


def _slips(vertices: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Derivatives (V, 3, 3) of vertices by where points see them: moved along x and y, and turned about the middle."""
    by_slip = np.zeros((len(vertices), 3, 3))
    by_slip[:, [0, 1], [0, 1]] = 1
    by_slip[:, 0, 2] = (middle[1] - vertices[:, 1]) / LEVER
    by_slip[:, 1, 2] = (vertices[:, 0] - middle[0]) / LEVER
    return by_slip


class _System:
    """Normal equations of weighted least squares."""

    def __init__(self, size: int) -> None:
        self.normal, self.right = np.zeros((size, size)), np.zeros(size)

    def add(self, jacobian: np.ndarray, pulls: np.ndarray, forces: np.ndarray) -> None:
        """Add places (K,), each drawn by a force (K, 3) that yields to a pull (K, 3, 3).

        Their derivatives (K, 3, T) are by the first T variables.
        """
        count = jacobian.shape[2]
        flat = jacobian.reshape(-1, count)
        self.normal[:count, :count] += (pulls @ jacobian).reshape(flat.shape).T @ flat
        self.right[:count] += forces.ravel() @ flat

    def solve(self, held: np.ndarray) -> np.ndarray:
        normal, right = self.normal, self.right
        normal[held], normal[:, held], right[held] = 0, 0, 0
        normal[held, held] = 1
        normal.flat[::len(right) + 1] *= 1 + _DAMPING
        return np.linalg.solve(normal, right)


class _Seen:
    """What a depth image shows of a hand about whose joints is known a little.

    Attributes:
        points: (N, 3) metres on the hand, at most ``POINTS`` of them.

    """

    def __init__(self, joints: np.ndarray, depth: np.ndarray, camera: Camera) -> None:
        self.depth, self.camera = depth, camera
        flesh = FLESH * np.linalg.norm(joints[list(KNUCKLES)] - joints[WRIST], axis=1).mean()
        v, u = np.nonzero((depth > joints[:, 2].min() - flesh) & (depth < joints[:, 2].max() + flesh))
        points = camera.unproject(np.stack([u, v], 1), depth[v, u])
        hand = _gap_to_bones(points, joints) < flesh
        self.points = points[hand]
        if len(self.points) > POINTS:
            self.points = self.points[np.linspace(0, len(self.points) - 1, POINTS).astype(int)]
        self.hand = np.zeros(depth.shape, np.uint8)
        self.hand[v[hand], u[hand]] = 1
        _, labels = cv2.distanceTransformWithLabels(1 - self.hand, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        rows, columns = np.nonzero(self.hand)
        self.nearest = np.zeros((labels.max() + 1, 2))
        self.nearest[labels[rows, columns]] = np.stack([columns, rows], 1)
        self.labels = labels

    def before(self, vertices: np.ndarray) -> np.ndarray:
        """How far (V,) vertices stand before what is seen there, metres; 0 in holes."""
        _, u, v = self._pixels(vertices)
        depth = self.depth[v, u]
        return np.where(depth > 0, depth - vertices[:, 2], 0)

    def _pixels(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where vertices (V, 3) are, (V, 2), and the column and row (V,) of the nearest pixel in the image."""
        height, width = self.depth.shape
        pixels = self.camera.project(vertices)
        u, v = np.clip(np.rint(pixels).astype(int), 0, (width - 1, height - 1)).T
        return pixels, u, v

    def beside(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices (K,) of vertices beside the hand that the camera sees past, and their way (K, 2) back, metres."""
        pixels, u, v = self._pixels(vertices)
        which = np.flatnonzero((self.hand[v, u] == 0) & (self.depth[v, u] > vertices[:, 2] + SEEN_PAST))
        way = self.nearest[self.labels[v[which], u[which]]] - pixels[which]
        way *= vertices[which, 2:] / (self.camera.fx, self.camera.fy)
        gap = np.linalg.norm(way, axis=1)
        some = (gap > EDGE) & (gap < FARTHEST_BESIDE)
        return which[some], way[some]


def _gap_to_bones(points: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Distances (N,) of points (N, 3) from the nearest bone."""
    least = np.full(len(points), np.inf)
    for start, end in BONES:
        bone = joints[end] - joints[start]
        arm = points - joints[start]
        share = np.clip(arm @ bone / max(bone @ bone, 1e-12), 0, 1)
        least = np.minimum(least, np.square(arm - share[:, None] * bone).sum(1))
    return np.sqrt(least)


def _nearest(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of points (N, 3), which of the others (M, 3) is the nearest, and how far away it is."""
    middle = others.mean(0)
    a, b = (points - middle).astype(np.float32), (others - middle).astype(np.float32)
    near = (np.square(b).sum(1) - 2 * (a @ b.T)).argmin(1)
    return near, np.linalg.norm(points - others[near], axis=1)


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3) out of a mesh: the mean of its faces', by their areas."""
    a, b, c = (vertices[faces[:, i]].astype(float) for i in range(3))
    normals = np.zeros(vertices.shape)
    for i in range(3):
        np.add.at(normals, faces[:, i], np.cross(b - a, c - a))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
