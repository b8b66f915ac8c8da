"""Fit a hand model to 21 joints: one rigid pose, a shape that settles over a track, angles within their limits.

In order:

1. Distances between joints that no pose changes (the bones, and the palm across) give the shape parameters and, for
   what the shape basis does not cover, a stretch of each finger bone: the most probable ones under Gaussian noise
   and priors. Over a track the distances are averaged first, so that the hand keeps its size.
2. The palm's six joints give the rigid pose (Kabsch), and every finger bone's direction gives its angles in closed
   form, clipped to the limits.
3. A few Levenberg-Marquardt steps on all angles and the rigid pose bring the model's joints to the given ones, with
   the Jacobian of the tree and with angles at their limits held there.

A left hand is fitted as the right hand that it is the mirror image of, so both sides are treated exactly alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hand_pose_ros.geometry.joints import BONES, FINGERS, FINGER_JOINTS, JOINTS, SIDES, WRIST
from hand_pose_ros.geometry.rotations import nearest_rotation
from hand_pose_ros.hand_model.kinematics import DEGREES_OF_FREEDOM, DOF_INDEX, DOF_NAMES, LOWER, UPPER
from hand_pose_ros.hand_model.model import HandModel

#: Standard deviation of a joint along each axis, metres, and how many frames that guess is worth: a track shows by
#: how much the lengths of its bones vary what the noise really is.
JOINT_NOISE, GUESS_FRAMES = 0.003, 5
#: Frames that the average of distances remembers at most: from then on it forgets the oldest.
MEMORY = 60
#: Standard deviation of the logarithm of a bone's stretch: what the shape basis leaves of people's bones.
STRETCH_SPREAD = 0.05
#: Limits of a bone's stretch and of a shape parameter, so that no wild joint makes a monster.
STRETCH_LIMITS, SHAPE_LIMIT = (0.8, 1.25), 3.2

#: What is known of angles before seeing joints, as sums of angles: their factors, mean and standard deviation in
#: radians. Joints hardly show the thumb's roll and sideways bend; a finger's end joint follows the middle one through
#: a shared tendon, which keeps noise from kinking it.
PRIORS = [({'thumb_cmc_roll': 1.0}, 0.1, 0.25), ({'thumb_mcp_abduction': 1.0}, 0.0, 0.15),
          *(({f'{finger}_dip_flexion': 1.0, f'{finger}_pip_flexion': -0.6}, 0.0, 0.4) for finger in FINGERS[1:])]

#: Smallest and largest size of a hand's joints (root mean square distance from their mean), metres.
SIZE_LIMITS = (0.012, 0.15)

_FINGERS, _LEVELS = len(FINGERS), 3
_PALM = [WRIST, *(joints[0] for joints in FINGER_JOINTS.values())]
#: Pairs of joints whose distance no pose changes: all bones, then across the palm.
_PAIRS = np.array([*BONES, (1, 5), (5, 9), (9, 13), (13, 17), (5, 17)])
_DOF_BONE = np.array([dof.bone - 1 for dof in DEGREES_OF_FREEDOM])
#: Finger of each angle, and which of its bones the angle turns.
DOF_FINGER, DOF_LEVEL = np.divmod(_DOF_BONE, _LEVELS)
_DOF_KIND = np.array([('flexion', 'abduction', 'roll').index(dof.kind) for dof in DEGREES_OF_FREEDOM])
_DOFS = len(DEGREES_OF_FREEDOM)
_DOF_RANGE = np.arange(_DOFS)
_VARIABLES = 6 + _DOFS
#: Whether an angle moves the joints at which its finger's bones start and end: (D, 4, 1).
_MOVES = (np.arange(4) > DOF_LEVEL[:, None])[..., None].astype(float)
#: Turns a vector v (3,) into the matrix (3, 3), row by row, for which a @ matrix is v x a.
CROSS = np.zeros((3, 9))
CROSS[[2, 0, 1], [1, 5, 6]], CROSS[[2, 0, 1], [3, 7, 2]] = 1.0, -1.0
_ROWS, _COLUMNS = 1 + 4 * DOF_FINGER[:, None] + np.arange(4), 6 + np.arange(_DOFS)[:, None]
_MIRROR = np.array([-1.0, 1.0, 1.0])
#: Largest deviation of a distance from its average that is believed, metres.
_WILD = 4 * JOINT_NOISE


@dataclass
class FitState:
    """What is known of one person's hand: give the same one for every frame of a track.

    Attributes:
        frames: how many frames it has seen, up to ``MEMORY``.
        distances: (P,) average distances between joints, metres.
        variances: (P,) their variances.
        shape: (S,) shape parameters.
        log_stretch: (15,) logarithm of each finger bone's stretch.
        surfaces: how many times it was brought to a depth image, see ``surface``.

    """

    frames: int = 0
    distances: np.ndarray = field(default_factory=lambda: np.zeros(len(_PAIRS)))
    variances: np.ndarray = field(default_factory=lambda: np.zeros(len(_PAIRS)))
    shape: np.ndarray | None = None
    log_stretch: np.ndarray = field(default_factory=lambda: np.zeros(_FINGERS * _LEVELS))
    surfaces: int = 0


@dataclass(frozen=True)
class HandFit:
    """The hand model posed on the joints of a hand, all in the camera's optical frame.

    Attributes:
        angles: joint angle in radians by name without the side, e.g. ``index_mcp_flexion``.
        rotations: (21, 3, 3) orientation of each joint's frame, see :mod:`model`.
        joints: (21, 3) joints of the posed model, metres.
        vertices: (V, 3) metres, or None when no mesh was asked for.
        faces: (F, 3) vertex indices, counter-clockwise seen from outside; None with ``vertices``.
        residual: root mean square distance between ``joints`` and the joints fitted to, metres.

    """

    angles: dict[str, float]
    rotations: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray | None
    faces: np.ndarray | None
    residual: float


@dataclass(frozen=True)
class Rig:
    """A hand of one shape, at rest: what no pose changes."""

    shape: np.ndarray  # (S,)
    log_stretch: np.ndarray  # (15,) of each finger bone
    rest: np.ndarray  # (21, 3) joints before the stretch
    roots: np.ndarray  # (5, 3) first joints of the fingers, from the wrist
    offsets: np.ndarray  # (5, 3, 3) of each finger bone from its start to its end

    @property
    def known(self) -> np.ndarray:
        """What the hand is made by (S + 15,): its shape, then its bones' stretch."""
        return np.concatenate([self.shape, self.log_stretch])

    @property
    def stretch(self) -> np.ndarray:
        """Factor (16,) that lengthens each bone."""
        return np.concatenate([[1.0], np.exp(self.log_stretch)])


@dataclass(frozen=True)
class BonePose:
    """One evaluation of the tree: finger-wise arrays (5 fingers, 3 bones or 4 joints)."""

    angles: np.ndarray  # (D,)
    rotation: np.ndarray  # (3, 3) of the wrist
    wrist: np.ndarray  # (3,)
    world: np.ndarray  # (5, 3, 3, 3) of each finger bone
    fingers: np.ndarray  # (5, 4, 3) joints of the fingers
    flexed: np.ndarray  # (15, 3, 3) of each finger bone relative to the one before, by its flexion alone
    spread: np.ndarray  # (15, 3, 3) the same by flexion and abduction

    @property
    def joints(self) -> np.ndarray:
        """All joints (21, 3)."""
        return np.concatenate([self.wrist[None], self.fingers.reshape(-1, 3)])

    @property
    def bones(self) -> np.ndarray:
        """Turns (16, 3, 3) of all bones."""
        return np.concatenate([self.rotation[None], self.world.reshape(-1, 3, 3)])


class HandFitter:
    """Fits a hand model to joints; safe to use from several threads, as what a track remembers is the caller's.

    Args:
        model: the model of either side; the other side's hand is its mirror image.
        other: a model of its own for the other side, as MANO has.
        stretch: whether bones may be stretched to the person's own lengths beyond what the shape parameters do.

    """

    def __init__(self, model: HandModel, other: HandModel | None = None, stretch: bool = True) -> None:
        if other is not None and other.side == model.side:
            raise ValueError(f'both hand models are of the {model.side} hand; give one of each side')
        self.models = {model.side: model, (other or model.mirrored()).side: other or model.mirrored()}
        right = self.models['right']
        left = right if other is None and model.side == 'right' else self.models['left'].mirrored()
        self.hands = {'right': RightHand(right, stretch), 'left': RightHand(left, stretch)}

    def fit(self, joints: np.ndarray, side: str, mesh: bool = True, state: FitState | None = None) -> HandFit:
        """Fit the model to the joints of one hand.

        Args:
            joints: (21, 3) metres, camera optical frame, ordered as ``geometry.joints.JOINTS``.
            side: ``left`` or ``right``.
            mesh: whether to pose the mesh too.
            state: what is known of this hand from earlier frames; brought up to date. None fits this frame alone.

        Raises:
            ValueError: the side is unknown, or the joints are not those of a hand in metres.

        """
        if side not in SIDES:
            raise ValueError(f'side is {side!r}; it must be one of {", ".join(SIDES)}')
        joints = _checked(joints)
        mirror = np.ones(3) if side == 'right' else _MIRROR
        hand = self.hands[side]
        state = FitState() if state is None else state
        noise = hand.settle(joints * mirror, state)
        rig = hand.rig(state.shape, state.log_stretch)
        pose = hand.pose(joints * mirror, rig, noise)

        vertices = hand.vertices(pose, rig) * mirror.astype(np.float32) if mesh else None
        frames = hand.model.joint_frames(pose.bones)
        if side == 'left':
            # x and z are directions and mirrored as such; y, the axis that a bend turns about, then points the
            # other way, for which the frame is right-handed again.
            frames = frames * _MIRROR[:, None] * np.array([1.0, -1.0, 1.0])
        posed = pose.joints * mirror
        return HandFit(angles=dict(zip(DOF_NAMES, pose.angles.tolist())), rotations=frames, joints=posed,
                       vertices=vertices, faces=self.models[side].faces if mesh else None,
                       residual=float(np.sqrt(np.mean(np.sum((posed - joints) ** 2, 1)))))


def extent(joints: np.ndarray) -> float:
    """Root mean square distance of joints (21, 3) from their mean; a hand's is within ``SIZE_LIMITS``, metres."""
    return float(np.sqrt(np.mean(np.sum((joints - joints.mean(0)) ** 2, 1))))


def _checked(joints: np.ndarray) -> np.ndarray:
    joints = np.asarray(joints, dtype=float)
    if joints.shape != (len(JOINTS), 3):
        raise ValueError(f'joints have shape {joints.shape}; a hand has ({len(JOINTS)}, 3)')
    if not np.isfinite(joints).all():
        bad = [JOINTS[j] for j in np.flatnonzero(~np.isfinite(joints).all(1))]
        raise ValueError(f'joints are not finite: {", ".join(bad)}')
    size = extent(joints)
    low, high = SIZE_LIMITS
    if not low < size < high:
        raise ValueError(f'joints lie {size:.4g} from their mean; those of a hand lie {low} to {high} m: '
                         'they must be in metres, and not all in one place')
    return joints


class RightHand:
    """The tables of one model of a right hand, and the solver on them."""

    def __init__(self, model: HandModel, stretch: bool) -> None:
        self.model = model
        stretch_spread = STRETCH_SPREAD if stretch else 1e-6
        #: How much what is known of a :class:`Rig` weighs against its being the average one.
        self.shape_prior = np.concatenate([np.ones(model.shape_size), np.full(_FINGERS * _LEVELS, 1 / stretch_spread ** 2)])
        axes = model.axes[1:]
        self.axes = axes.reshape(_FINGERS, _LEVELS, 3, 3)
        self.along = axes[:, 2]
        # Rodrigues' formula in parts: (I + K K) + sin K - cos K K.
        cross = np.zeros((*axes.shape, 3))
        cross[..., [2, 0, 1], [1, 2, 0]] = axes
        cross[..., [1, 2, 0], [2, 0, 1]] = -axes
        self.cross, self.square = cross, cross @ cross
        self.still = np.eye(3) + self.square
        # Where abduction and flexion turn a bone from its direction at rest: to the side and up, rows.
        self.ways = np.stack([np.sign((np.cross(axes[:, 1], self.along) * axes[:, 0]).sum(1))[:, None] * axes[:, 0],
                              np.cross(axes[:, 0], self.along), self.along], 1).reshape(_FINGERS, _LEVELS, 3, 3)
        # Limits of every bone's three turns relative to rest; no room for those that it does not have.
        limits = np.zeros((2, _FINGERS * _LEVELS, 3))
        limits[:, _DOF_BONE, _DOF_KIND] = LOWER - model.rest_angles, UPPER - model.rest_angles
        self.low, self.high = limits.reshape(2, _FINGERS, _LEVELS, 3)
        # Of two ways round, that which is closer to what a joint can do lies in the turn from here on.
        self.first = (self.low + self.high) / 2 - np.pi
        self.pair_joints = model.joints[_PAIRS[:, 1]] - model.joints[_PAIRS[:, 0]]
        self.pair_basis = model.joint_basis[_PAIRS[:, 1]] - model.joint_basis[_PAIRS[:, 0]]
        # The finger bone that each of the 20 bones of ``BONES`` is: those after the palm's five.
        self.finger_pair = [i for i, (parent, _) in enumerate(BONES) if parent != WRIST]
        self.prior, self.prior_mean = np.zeros((len(PRIORS), _DOFS)), np.zeros(len(PRIORS))
        for row, (factors, mean, spread) in enumerate(PRIORS):
            for name, factor in factors.items():
                self.prior[row, DOF_INDEX[name]] = factor / spread
            self.prior_mean[row] = mean / spread
        self.prior_normal = self.prior.T @ self.prior

    # ---- shape ----

    def settle(self, joints: np.ndarray, state: FitState) -> float:
        """Bring the distances, the shape and the stretch of ``state`` up to date; return the joints' noise, metres."""
        measured = joints[_PAIRS[:, 1]] - joints[_PAIRS[:, 0]]
        measured = np.sqrt((measured * measured).sum(1))
        first = state.shape is None
        if first:
            state.shape = np.zeros(self.model.shape_size)
        else:
            # One wild joint of one frame must not change the hand.
            measured = np.clip(measured, state.distances - _WILD, state.distances + _WILD)
        state.frames = min(state.frames + 1, MEMORY)
        change = measured - state.distances
        state.distances = state.distances + change / state.frames
        state.variances = state.variances + ((1 - 1 / state.frames) * change * change - state.variances) / state.frames
        # Noise across a bone lengthens it: on average by its variance over the length.
        distances = state.distances - np.minimum(state.variances / np.maximum(state.distances, 1e-6),
                                               0.1 * state.distances)
        # A distance has the noise of two joints.
        joint_noise = np.sqrt((GUESS_FRAMES * JOINT_NOISE ** 2 + state.frames * state.variances.mean() / 2)
                              / (GUESS_FRAMES + state.frames)) if not first else JOINT_NOISE
        noise = np.sqrt(2 / state.frames) * joint_noise
        count = len(state.shape)
        jacobian = np.zeros((len(_PAIRS), count + len(state.log_stretch)))
        prior = self.shape_prior
        for _ in range(3 if first else 1):
            offsets = self.pair_joints + self.pair_basis @ state.shape
            lengths = np.sqrt((offsets * offsets).sum(1))
            factor = np.ones(len(_PAIRS))
            factor[self.finger_pair] = np.exp(state.log_stretch)
            jacobian[:, :count] = (offsets[:, None] @ self.pair_basis)[:, 0] * (factor / lengths)[:, None]
            lengths *= factor
            jacobian[self.finger_pair, count + np.arange(len(state.log_stretch))] = lengths[self.finger_pair]
            known = np.concatenate([state.shape, state.log_stretch])
            right = jacobian.T @ ((distances - lengths) / noise ** 2) - prior * known
            known += np.linalg.solve(jacobian.T @ jacobian / noise ** 2 + np.diag(prior), right)
            state.shape = np.clip(known[:count], -SHAPE_LIMIT, SHAPE_LIMIT)
            state.log_stretch = np.clip(known[count:], *np.log(STRETCH_LIMITS))
        return joint_noise

    # ---- pose ----

    def rig(self, shape: np.ndarray, log_stretch: np.ndarray) -> Rig:
        """The hand at rest with shape parameters (S,) and the logarithm of each finger bone's stretch (15,)."""
        rest = self.model.rest_joints(shape)
        starts = rest[1:].reshape(_FINGERS, 4, 3)
        offsets = (starts[:, 1:] - starts[:, :-1]).reshape(-1, 3)
        offsets = offsets + self.along * ((offsets * self.along).sum(1) * (np.exp(log_stretch) - 1))[:, None]
        return Rig(shape, log_stretch, rest, rest[_PALM[1:]] - rest[WRIST], offsets.reshape(_FINGERS, _LEVELS, 3))

    def pose(self, joints: np.ndarray, rig: Rig, noise: float = JOINT_NOISE) -> BonePose:
        """Pose a hand on the joints (21, 3) of a right hand, which are off by ``noise`` metres along each axis."""
        return self._refine(self._start(joints, rig), rig, joints, noise)

    def vertices(self, pose: BonePose, rig: Rig) -> np.ndarray:
        """The posed mesh (V, 3) float32."""
        return self.model.skin(pose.bones, pose.joints, rig.shape, rig.rest, rig.stretch)

    def _start(self, joints: np.ndarray, rig: Rig) -> BonePose:
        """Rigid pose from the palm, angles from the directions of the bones."""
        targets = joints[1:].reshape(_FINGERS, 4, 3)
        palm, model_palm = joints[_PALM], rig.rest[_PALM]
        rotation = nearest_rotation((palm - palm.mean(0)).T @ (model_palm - model_palm.mean(0)))
        wrist = palm.mean(0) + rotation @ (rig.rest[WRIST] - model_palm.mean(0))
        directions = targets[:, 1:] - targets[:, :-1]
        turned = np.zeros((_FINGERS, _LEVELS, 3))
        before = rotation
        for level in range(_LEVELS):
            # In the frame of the bone before, seen along this bone's ways to turn.
            ways = self.ways[:, level] @ np.swapaxes(before, -1, -2)
            aside, up, ahead = (ways @ directions[:, level, :, None])[..., 0].T
            turn, first = turned[:, level], self.first[:, level]
            turn[:, 0] = np.arctan2(up, ahead)
            turn[:, 1] = np.arctan2(aside, np.hypot(up, ahead))
            turn[:] = np.clip(first + np.remainder(turn - first, 2 * np.pi), self.low[:, level], self.high[:, level])
            if level < _LEVELS - 1:
                before = before @ self._turn(turn, slice(level, None, _LEVELS))[2]
        angles = turned.reshape(-1, 3)[_DOF_BONE, _DOF_KIND] + self.model.rest_angles
        return self.evaluate(np.clip(angles, LOWER, UPPER), rotation, wrist, rig)

    def _turn(self, turned: np.ndarray, bones: slice = slice(None)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rotations (B, 3, 3) by flexion; by flexion and abduction; by all three angles (B, 3) of bones."""
        single = (self.still[bones] + np.sin(turned)[..., None, None] * self.cross[bones]
                  - np.cos(turned)[..., None, None] * self.square[bones])
        both = single[:, 0] @ single[:, 1]
        return single[:, 0], both, both @ single[:, 2]

    def evaluate(self, angles: np.ndarray, rotation: np.ndarray, wrist: np.ndarray, rig: Rig) -> BonePose:
        """Pose a hand by its angles (D,), the turn (3, 3) of its wrist and the place (3,) of that."""
        turned = np.zeros((_FINGERS * _LEVELS, 3))
        turned[_DOF_BONE, _DOF_KIND] = angles - self.model.rest_angles
        flexed, spread, local = self._turn(turned)
        local = local.reshape(_FINGERS, _LEVELS, 3, 3)
        world = np.empty_like(local)
        parent = rotation
        for level in range(_LEVELS):
            parent = world[:, level] = parent @ local[:, level]
        joints = np.empty((_FINGERS, 4, 3))
        joints[:, 0] = wrist + rig.roots @ rotation.T
        joints[:, 1:] = (world @ rig.offsets[..., None])[..., 0]
        return BonePose(angles, rotation, wrist, world, np.cumsum(joints, axis=1), flexed, spread)

    def moved(self, pose: BonePose, step: np.ndarray, rig: Rig) -> BonePose:
        """Pose after a step of the variables that :meth:`jacobian` is by, angles kept within their limits."""
        return self.evaluate(np.clip(pose.angles + step[6:], LOWER, UPPER), _rotation(step[:3]) @ pose.rotation,
                             pose.wrist + step[3:6], rig)

    def turning_axes(self, pose: BonePose) -> np.ndarray:
        """Axes (D, 3) that the angles turn about as the hand is posed."""
        axes = self.axes.copy()
        axes[:, :, 1] = (pose.flexed @ self.model.axes[1:, 1, :, None]).reshape(_FINGERS, _LEVELS, 3)
        axes[:, :, 2] = (pose.spread @ self.model.axes[1:, 2, :, None]).reshape(_FINGERS, _LEVELS, 3)
        axes[:, 0] = axes[:, 0] @ pose.rotation.T
        axes[:, 1:] = axes[:, 1:] @ np.swapaxes(pose.world[:, :-1], 2, 3)
        return axes[DOF_FINGER, DOF_LEVEL, _DOF_KIND]

    def jacobian(self, pose: BonePose) -> np.ndarray:
        """Derivatives (63, 28) of the joints by a turn about the wrist, a shift, and the angles."""
        arms = pose.fingers[DOF_FINGER]  # from each angle's bone's start to each joint of its finger
        arms = (arms - arms[_DOF_RANGE, DOF_LEVEL, None]) * _MOVES
        jacobian = np.zeros((len(JOINTS), 3, _VARIABLES))
        jacobian[_ROWS, :, _COLUMNS] = arms @ (self.turning_axes(pose) @ CROSS).reshape(-1, 3, 3)
        fill_rigid(jacobian, pose.joints - pose.wrist)
        return jacobian.reshape(-1, _VARIABLES)

    def _cost(self, pose: BonePose, joints: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray, float]:
        """What is left of the joints (63,), of the priors (K,), and the sum of squares."""
        left = (joints - pose.joints).ravel()
        prior_left = self.prior_mean - self.prior @ pose.angles
        return left, prior_left, float(left @ left + noise * noise * (prior_left @ prior_left))

    def _refine(self, pose: BonePose, rig: Rig, joints: np.ndarray, noise: float) -> BonePose:
        left, prior_left, cost = self._cost(pose, joints, noise)
        damping, weight = 1e-4, noise * noise
        prior, prior_normal = weight * self.prior.T, weight * self.prior_normal
        for _ in range(8):
            jacobian = self.jacobian(pose)
            normal = jacobian.T @ jacobian
            normal[6:, 6:] += prior_normal
            right = jacobian.T @ left
            right[6:] += prior @ prior_left
            diagonal = normal.diagonal().copy()
            # An angle at its limit that is pushed beyond stays out of the step.
            held = np.zeros(_VARIABLES, bool)
            held[6:] = beyond_limits(pose.angles, right[6:])
            if held.any():
                normal[held], normal[:, held], right[held], diagonal[held] = 0, 0, 0, 1
            while damping < 1e3:
                normal.flat[::_VARIABLES + 1] = diagonal * (1 + damping) + 1e-9
                step = np.linalg.solve(normal, right)
                trial = self.moved(pose, step, rig)
                left, prior_left, trial_cost = self._cost(trial, joints, noise)
                if trial_cost <= cost:
                    break
                damping = max(10 * damping, 1e-2)
            else:
                break
            gain, pose, cost = cost - trial_cost, trial, trial_cost
            damping = damping / 10
            if gain < 1e-2 * cost + 1e-9:
                break
        return pose


def fill_rigid(jacobian: np.ndarray, arms: np.ndarray) -> None:
    """Set the first six columns of a jacobian (N, 3, T): a turn about what the places' arms (N, 3) reach from, and a shift."""
    x, y, z = arms.T
    jacobian[:, :, :6] = 0
    jacobian[:, 0, 1], jacobian[:, 0, 2], jacobian[:, 1, 2] = z, -y, x
    jacobian[:, 1, 0], jacobian[:, 2, 0], jacobian[:, 2, 1] = -z, y, -x
    jacobian[:, [0, 1, 2], [3, 4, 5]] = 1


def beyond_limits(angles: np.ndarray, push: np.ndarray) -> np.ndarray:
    """Which angles (D,) are at a limit that what pushes them (D,) would have them exceed."""
    return ((angles <= LOWER) & (push < 0)) | ((angles >= UPPER) & (push > 0))


def _rotation(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix of one rotation vector: what geometry.rotations does for batches, without their overhead."""
    x, y, z = vector.tolist()
    angle = (x * x + y * y + z * z) ** 0.5
    sine = np.sin(angle) / angle if angle > 1e-9 else 1.0
    versine = (1 - np.cos(angle)) / (angle * angle) if angle > 1e-9 else 0.5
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + sine * cross + versine * (cross @ cross)
