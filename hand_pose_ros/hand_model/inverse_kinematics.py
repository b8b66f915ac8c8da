"""Inverse kinematics: a hand model on 21 joints. One rigid pose, one shape a track, angles within their limits.

In order:

1. Shape. Distances between joints that no pose changes (the bones, and the palm across) give the shape parameters and,
   for what the shape basis does not cover, a stretch of each finger bone: the most probable ones under Gaussian noise
   and priors (Gauss-Newton). Over a track the distances are averaged first, so that the hand keeps its size.
2. Start. The palm's six joints give the rigid pose (Kabsch 1976), and every finger bone's direction gives its angles in
   closed form, clipped to the limits.
3. Refinement. A few Levenberg-Marquardt steps on all angles and the rigid pose bring the model's joints to the given
   ones, with the Jacobian of the tree and with angles at their limits held there (an active set).

A left hand is fitted as the right hand that it is the mirror image of, so both sides are treated exactly alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hand_pose_ros.core.hand import HandFit
from hand_pose_ros.geometry.joints import BONES, FINGER_JOINTS, FINGERS, JOINTS, SIDES, WRIST
from hand_pose_ros.geometry.rotations import nearest_rotation
from hand_pose_ros.hand_model.kinematics import DEGREES_OF_FREEDOM, DOF_INDEX, DOF_NAMES, LOWER, UPPER
from hand_pose_ros.hand_model.model import HandModel

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
_STILL = np.eye(3)


@dataclass(frozen=True)
class AnglePrior:
    """Gaussian prior on a weighted sum of angles."""

    factors: Mapping[str, float]  # by the angles' names
    mean_rad: float
    sigma_rad: float


#: Joints hardly show the thumb's roll and sideways bend; a finger's end joint follows the middle one through a shared
#: tendon, which keeps noise from kinking it.
_ANGLE_PRIORS = (
    AnglePrior({'thumb_cmc_roll': 1.0}, 0.1, 0.25),
    AnglePrior({'thumb_mcp_abduction': 1.0}, 0.0, 0.15),
    *(AnglePrior({f'{name}_dip_flexion': 1.0, f'{name}_pip_flexion': -0.6}, 0.0, 0.4) for name in FINGERS[1:]),
)


@dataclass(frozen=True)
class InverseKinematicsConfiguration:
    """Constants of :class:`InverseKinematics`."""

    joint_sigma_m: float = 0.003  # of a joint along each axis, until a track's bone lengths show what it really is
    prior_frames: int = 5  # that guess counts as so many frames
    memory_frames: int = 60  # the averages of a track forget what is older
    shape_interval_frames: int = 4  # once they are of so many frames, the shape is estimated anew as seldom
    max_length_change_m: float = 0.012  # an outlier of one frame must not change the hand: four sigma
    log_stretch_sigma: float = 0.05  # of a bone: what the shape basis leaves of people's bones
    stretch_limits: tuple[float, float] = (0.8, 1.25)  # of a bone: no outlier makes a monster
    shape_limit: float = 3.2  # of a shape parameter, in standard deviations
    min_extent_m: float = 0.012  # joints closer together are no hand in meters: root mean square from their mean
    max_extent_m: float = 0.15  # nor are those farther apart
    max_iterations: int = 8  # of Levenberg-Marquardt; most hands take two
    first_damping: float = 1e-4
    max_damping: float = 1e3  # no step helps from here on
    relative_tolerance: float = 0.1  # it ends when a step gains less of what is left: 0.1 mm and half a degree remain
    angle_priors: tuple[AnglePrior, ...] = _ANGLE_PRIORS


_DEFAULT = InverseKinematicsConfiguration()


@dataclass
class HandShapeState:
    """What is known of one person's hand: give the same one for every frame of a track.

    Attributes:
        frames: how many there were; the averages are of the last ``memory_frames``.
        distances: (P,) average distances between joints, meters.
        variances: (P,) their variances.
        shape: (S,) shape parameters; None before the first frame.
        log_stretch: (15,) logarithm of each finger bone's stretch.
        icp_frames: how many frames :class:`articulated_icp.ArticulatedIcp` has fitted.

    """

    frames: int = 0
    distances: np.ndarray = field(default_factory=lambda: np.zeros(len(_PAIRS)))
    variances: np.ndarray = field(default_factory=lambda: np.zeros(len(_PAIRS)))
    shape: np.ndarray | None = None
    log_stretch: np.ndarray = field(default_factory=lambda: np.zeros(_FINGERS * _LEVELS))
    icp_frames: int = 0


@dataclass(frozen=True)
class Rig:
    """A hand of one shape, at rest: what no pose changes. Meters, in the hand's own frame."""

    shape: np.ndarray  # (S,)
    log_stretch: np.ndarray  # (15,) of each finger bone
    rest: np.ndarray  # (21, 3) joints before the stretch
    roots: np.ndarray  # (5, 3) first joints of the fingers, from the wrist
    offsets: np.ndarray  # (5, 3, 3) of each finger bone from its start to its end

    @property
    def parameters(self) -> np.ndarray:
        """What the hand is made by (S + 15,): its shape, then its bones' log stretch."""
        return np.concatenate([self.shape, self.log_stretch])

    @property
    def stretch(self) -> np.ndarray:
        """Factor (16,) that lengthens each bone."""
        return np.concatenate([[1.0], np.exp(self.log_stretch)])


@dataclass(frozen=True)
class BonePose:
    """One evaluation of the tree: finger-wise arrays (5 fingers, 3 bones or 4 joints)."""

    angles: np.ndarray  # (D,) radians
    rotation: np.ndarray  # (3, 3) of the wrist
    wrist: np.ndarray  # (3,) meters
    world: np.ndarray  # (5, 3, 3, 3) of each finger bone
    fingers: np.ndarray  # (5, 4, 3) joints of the fingers, meters
    flexed: np.ndarray  # (15, 3, 3) of each finger bone relative to the one before, by its flexion alone
    abducted: np.ndarray  # (15, 3, 3) the same by flexion and abduction

    @cached_property
    def joints(self) -> np.ndarray:
        """All joints (21, 3), meters."""
        return np.concatenate([self.wrist[None], self.fingers.reshape(-1, 3)])

    @property
    def bones(self) -> np.ndarray:
        """Turns (16, 3, 3) of all bones."""
        return np.concatenate([self.rotation[None], self.world.reshape(-1, 3, 3)])


class InverseKinematics:
    """Fits a hand model to joints; safe to use from several threads, as what a track remembers is the caller's.

    Args:
        model: the model of either side; the other side's hand is its mirror image.
        other: a model of its own for the other side, as MANO has.
        configuration: its constants.

    Attributes:
        models: side -> the model that meshes are of.
        hands: side -> the right hand that is solved for.

    Raises:
        ValueError: both models are of the same side.

    """

    def __init__(
        self,
        model: HandModel,
        other: HandModel | None = None,
        configuration: InverseKinematicsConfiguration = _DEFAULT,
    ) -> None:
        if other is not None and other.side == model.side:
            raise ValueError(f'both hand models are of the {model.side} hand; give one of each side')
        self.models = {model.side: model, (other or model.mirrored()).side: other or model.mirrored()}
        right = self.models['right']
        left = right if other is None and model.side == 'right' else self.models['left'].mirrored()
        self.hands = {'right': RightHandSolver(right, configuration), 'left': RightHandSolver(left, configuration)}
        self._configuration = configuration

    def fit(self, joints: np.ndarray, side: str, mesh: bool = True, state: HandShapeState | None = None) -> HandFit:
        """Fit the model to the joints of one hand.

        Args:
            joints: (21, 3) meters, camera optical frame, ordered as ``geometry.joints.JOINTS``.
            side: ``left`` or ``right``.
            mesh: whether to pose the mesh too.
            state: what is known of this hand from earlier frames; brought up to date. None fits this frame alone.

        Raises:
            ValueError: the side is unknown, or the joints are not those of a hand in meters.

        """
        if side not in SIDES:
            raise ValueError(f'side is {side!r}; it must be one of {", ".join(SIDES)}')
        joints = _checked(joints, self._configuration)
        mirror = np.ones(3) if side == 'right' else _MIRROR
        hand = self.hands[side]
        state = HandShapeState() if state is None else state
        sigma = hand.update_shape(joints * mirror, state)
        rig = hand.rig(state.shape, state.log_stretch)
        pose = hand.pose(joints * mirror, rig, sigma)

        vertices = hand.vertices(pose, rig) * mirror.astype(np.float32) if mesh else None
        frames = hand.model.joint_frames(pose.bones)
        if side == 'left':
            # x and z are directions and mirrored as such; y, the axis that a bend turns about, then points the
            # other way, for which the frame is right-handed again.
            frames = frames * _MIRROR[:, None] * np.array([1.0, -1.0, 1.0])
        posed = pose.joints * mirror
        return HandFit(
            angles=dict(zip(DOF_NAMES, pose.angles.tolist())),
            rotations=frames,
            joints=posed,
            vertices=vertices,
            faces=self.models[side].faces if mesh else None,
            residual=float(np.sqrt(np.mean(np.sum((posed - joints) ** 2, 1)))),
        )


def _extent(joints: np.ndarray) -> float:
    """Root mean square distance of joints (21, 3) from their mean, meters."""
    return float(np.sqrt(np.mean(np.sum((joints - joints.mean(0)) ** 2, 1))))


def is_hand_sized(joints: np.ndarray, configuration: InverseKinematicsConfiguration = _DEFAULT) -> bool:
    """Whether joints (21, 3) in meters lie as far apart as a hand's: :meth:`InverseKinematics.fit` takes no others."""
    return configuration.min_extent_m < _extent(joints) < configuration.max_extent_m


def _checked(joints: np.ndarray, configuration: InverseKinematicsConfiguration) -> np.ndarray:
    joints = np.asarray(joints, dtype=float)
    if joints.shape != (len(JOINTS), 3):
        raise ValueError(f'joints have shape {joints.shape}; a hand has ({len(JOINTS)}, 3)')
    if not np.isfinite(joints).all():
        bad = [JOINTS[j] for j in np.flatnonzero(~np.isfinite(joints).all(1))]
        raise ValueError(f'joints are not finite: {", ".join(bad)}')
    if not is_hand_sized(joints, configuration):
        raise ValueError(
            f'joints lie {_extent(joints):.4g} from their mean; those of a hand lie {configuration.min_extent_m} to '
            f'{configuration.max_extent_m} m: they must be in meters, and not all in one place'
        )
    return joints


class RightHandSolver:
    """Solver on the tables of one model of a right hand.

    Attributes:
        model: the right hand.
        shape_prior: (S + 15,) inverse variance of :attr:`Rig.parameters` about the average hand.
        parameter_limits: (2, S + 15) lowest and highest of them.
        axes: (5, 3, 3, 3) axes of each finger bone at rest, rows flexion, abduction, roll.
        prior: (K, D) angle priors, each divided by its sigma; ``prior_mean`` (K,) likewise.
        prior_normal: (D, D) their normal matrix.

    """

    def __init__(self, model: HandModel, configuration: InverseKinematicsConfiguration) -> None:
        self.model, self._configuration = model, configuration
        stretches = _FINGERS * _LEVELS
        self.shape_prior = np.concatenate(
            [np.ones(model.shape_size), np.full(stretches, 1 / configuration.log_stretch_sigma**2)]
        )
        shape_limits = [[-configuration.shape_limit], [configuration.shape_limit]]
        self.parameter_limits = np.concatenate(
            [
                np.tile(shape_limits, model.shape_size),
                np.tile(np.log(configuration.stretch_limits)[:, None], stretches),
            ],
            1,
        )
        self._set_turns()
        self._set_pairs()
        self._set_angle_priors(configuration.angle_priors)

    def _set_turns(self) -> None:
        """Tables of how angles turn bones."""
        model = self.model
        axes = model.axes[1:]
        self.axes = axes.reshape(_FINGERS, _LEVELS, 3, 3)
        self._along = axes[:, 2]
        # Rodrigues' formula in parts: (I + K K) + sin K - cos K K.
        cross = np.zeros((*axes.shape, 3))
        cross[..., [2, 0, 1], [1, 2, 0]] = axes
        cross[..., [1, 2, 0], [2, 0, 1]] = -axes
        self._cross, self._square = cross, cross @ cross
        self._still = np.eye(3) + self._square
        # Where abduction and flexion turn a bone from its direction at rest: to the side, up and ahead, rows.
        self._turn_frames = np.stack(
            [
                np.sign((np.cross(axes[:, 1], self._along) * axes[:, 0]).sum(1))[:, None] * axes[:, 0],
                np.cross(axes[:, 0], self._along),
                self._along,
            ],
            1,
        ).reshape(_FINGERS, _LEVELS, 3, 3)
        # Limits of every bone's three turns relative to rest; no room for those that it does not have.
        limits = np.zeros((2, _FINGERS * _LEVELS, 3))
        limits[:, _DOF_BONE, _DOF_KIND] = LOWER - model.rest_angles, UPPER - model.rest_angles
        self._low, self._high = limits.reshape(2, _FINGERS, _LEVELS, 3)
        # Of two ways round, that which is closer to what a joint can do lies in the turn from here on.
        self._first = (self._low + self._high) / 2 - np.pi

    def _set_pairs(self) -> None:
        """Tables of the distances that no pose changes."""
        model = self.model
        self._pair_joints = model.joints[_PAIRS[:, 1]] - model.joints[_PAIRS[:, 0]]
        self._pair_basis = model.joint_basis[_PAIRS[:, 1]] - model.joint_basis[_PAIRS[:, 0]]
        # The finger bone that each of the 20 bones of ``BONES`` is: those after the palm's five.
        self._finger_pairs = [i for i, (parent, _) in enumerate(BONES) if parent != WRIST]

    def _set_angle_priors(self, priors: tuple[AnglePrior, ...]) -> None:
        self.prior, self.prior_mean = np.zeros((len(priors), _DOFS)), np.zeros(len(priors))
        for row, prior in enumerate(priors):
            for name, factor in prior.factors.items():
                self.prior[row, DOF_INDEX[name]] = factor / prior.sigma_rad
            self.prior_mean[row] = prior.mean_rad / prior.sigma_rad
        self.prior_normal = self.prior.T @ self.prior

    # ---- shape ----

    def update_shape(self, joints: np.ndarray, state: HandShapeState) -> float:
        """Bring ``state`` up to date with joints (21, 3); returns their sigma along each axis, meters."""
        config, first = self._configuration, state.shape is None
        state.frames += 1
        count = min(state.frames, config.memory_frames)
        sigma = self._average_distances(joints, state, count)
        if count == config.memory_frames and state.frames % config.shape_interval_frames:
            return sigma
        # Noise across a bone lengthens it: on average by its variance over the length.
        bias = state.variances / np.maximum(state.distances, 1e-6)
        distances = state.distances - np.minimum(bias, 0.1 * state.distances)
        self._estimate_shape(distances, np.sqrt(2 / count) * sigma, state, iterations=3 if first else 1)
        return sigma

    def _average_distances(self, joints: np.ndarray, state: HandShapeState, count: int) -> float:
        """Add a frame to the averages of ``state``, which are of ``count`` then; returns the joints' sigma, meters."""
        config, first = self._configuration, state.shape is None
        measured = joints[_PAIRS[:, 1]] - joints[_PAIRS[:, 0]]
        measured = np.sqrt((measured * measured).sum(1))
        if not first:
            limit = config.max_length_change_m
            measured = _within(measured, state.distances - limit, state.distances + limit)
        change = measured - state.distances
        state.distances = state.distances + change / count
        state.variances = state.variances + ((1 - 1 / count) * change * change - state.variances) / count
        if first:
            return config.joint_sigma_m
        # A distance has the noise of two joints.
        squares = config.prior_frames * config.joint_sigma_m**2 + count * state.variances.mean() / 2
        return float(np.sqrt(squares / (config.prior_frames + count)))

    def _estimate_shape(self, distances: np.ndarray, sigma: float, state: HandShapeState, iterations: int) -> None:
        """Gauss-Newton steps on shape and stretch towards distances (P,) of this sigma, meters."""
        count = self.model.shape_size
        shape = np.zeros(count) if state.shape is None else state.shape
        stretches = count + np.arange(len(state.log_stretch))
        jacobian = np.zeros((len(_PAIRS), count + len(stretches)))
        for _ in range(iterations):
            offsets = self._pair_joints + self._pair_basis @ shape
            lengths = np.sqrt((offsets * offsets).sum(1))
            factor = np.ones(len(_PAIRS))
            factor[self._finger_pairs] = np.exp(state.log_stretch)
            jacobian[:, :count] = (offsets[:, None] @ self._pair_basis)[:, 0] * (factor / lengths)[:, None]
            lengths *= factor
            jacobian[self._finger_pairs, stretches] = lengths[self._finger_pairs]
            parameters = np.concatenate([shape, state.log_stretch])
            right = jacobian.T @ ((distances - lengths) / sigma**2) - self.shape_prior * parameters
            parameters += np.linalg.solve(jacobian.T @ jacobian / sigma**2 + np.diag(self.shape_prior), right)
            parameters = _within(parameters, *self.parameter_limits)
            shape, state.log_stretch = parameters[:count], parameters[count:]
        state.shape = shape

    # ---- pose ----

    def rig(self, shape: np.ndarray | None, log_stretch: np.ndarray) -> Rig:
        """The hand at rest with shape parameters (S,), None for the average, and finger bones' log stretch (15,)."""
        shape = np.zeros(self.model.shape_size) if shape is None else shape
        rest = self.model.rest_joints(shape)
        starts = rest[1:].reshape(_FINGERS, 4, 3)
        offsets = (starts[:, 1:] - starts[:, :-1]).reshape(-1, 3)
        offsets = offsets + self._along * ((offsets * self._along).sum(1) * (np.exp(log_stretch) - 1))[:, None]
        return Rig(shape, log_stretch, rest, rest[_PALM[1:]] - rest[WRIST], offsets.reshape(_FINGERS, _LEVELS, 3))

    def pose(self, joints: np.ndarray, rig: Rig, sigma: float | None = None) -> BonePose:
        """Pose a hand on the joints (21, 3) of a right hand, whose sigma along each axis is ``sigma``, meters."""
        sigma = self._configuration.joint_sigma_m if sigma is None else sigma
        return self._refine(self._start(joints, rig), rig, joints, sigma)

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
            # In the frame of the bone before, along the directions that this bone turns to.
            frames = self._turn_frames[:, level] @ before.swapaxes(-1, -2)
            aside, up, ahead = (frames @ directions[:, level, :, None])[..., 0].T
            turn, first = turned[:, level], self._first[:, level]
            turn[:, 0] = np.arctan2(up, ahead)
            turn[:, 1] = np.arctan2(aside, np.hypot(up, ahead))
            turn[:] = _within(first + np.remainder(turn - first, 2 * np.pi), self._low[:, level], self._high[:, level])
            if level < _LEVELS - 1:
                before = before @ self._turn(turn, slice(level, None, _LEVELS))[2]
        angles = turned.reshape(-1, 3)[_DOF_BONE, _DOF_KIND] + self.model.rest_angles
        return self.evaluate(_within(angles, LOWER, UPPER), rotation, wrist, rig)

    def _turn(self, turned: np.ndarray, bones: slice = slice(None)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rotations (B, 3, 3) by flexion; by flexion and abduction; by all three angles (B, 3) of bones."""
        single = (
            self._still[bones]
            + np.sin(turned)[..., None, None] * self._cross[bones]
            - np.cos(turned)[..., None, None] * self._square[bones]
        )
        both = single[:, 0] @ single[:, 1]
        return single[:, 0], both, both @ single[:, 2]

    def evaluate(self, angles: np.ndarray, rotation: np.ndarray, wrist: np.ndarray, rig: Rig) -> BonePose:
        """Pose a hand by its angles (D,), the turn (3, 3) of its wrist and the place (3,) of that."""
        turned = np.zeros((_FINGERS * _LEVELS, 3))
        turned[_DOF_BONE, _DOF_KIND] = angles - self.model.rest_angles
        flexed, abducted, local = self._turn(turned)
        local = local.reshape(_FINGERS, _LEVELS, 3, 3)
        world = np.empty_like(local)
        parent = rotation
        for level in range(_LEVELS):
            parent = world[:, level] = parent @ local[:, level]
        joints = np.empty((_FINGERS, 4, 3))
        joints[:, 0] = wrist + rig.roots @ rotation.T
        joints[:, 1:] = (world @ rig.offsets[..., None])[..., 0]
        return BonePose(angles, rotation, wrist, world, np.cumsum(joints, axis=1), flexed, abducted)

    def step(self, pose: BonePose, change: np.ndarray, rig: Rig) -> BonePose:
        """Pose after a change (28,) of the variables that :meth:`jacobian` is by, angles kept within their limits."""
        return self.evaluate(
            _within(pose.angles + change[6:], LOWER, UPPER),
            _rotation(change[:3]) @ pose.rotation,
            pose.wrist + change[3:6],
            rig,
        )

    def turning_axes(self, pose: BonePose) -> np.ndarray:
        """Axes (D, 3) that the angles turn about as the hand is posed."""
        axes = self.axes.copy()
        axes[:, :, 1] = (pose.flexed @ self.model.axes[1:, 1, :, None]).reshape(_FINGERS, _LEVELS, 3)
        axes[:, :, 2] = (pose.abducted @ self.model.axes[1:, 2, :, None]).reshape(_FINGERS, _LEVELS, 3)
        axes[:, 0] = axes[:, 0] @ pose.rotation.T
        axes[:, 1:] = axes[:, 1:] @ pose.world[:, :-1].swapaxes(2, 3)
        return axes[DOF_FINGER, DOF_LEVEL, _DOF_KIND]

    def jacobian(self, pose: BonePose) -> np.ndarray:
        """Derivatives (63, 28) of the joints by a turn about the wrist, a shift, and the angles."""
        arms = pose.fingers[DOF_FINGER]  # from each angle's bone's start to each joint of its finger
        arms = (arms - arms[_DOF_RANGE, DOF_LEVEL, None]) * _MOVES
        jacobian = np.zeros((len(JOINTS), 3, _VARIABLES))
        jacobian[_ROWS, :, _COLUMNS] = arms @ (self.turning_axes(pose) @ CROSS).reshape(-1, 3, 3)
        fill_rigid_jacobian(jacobian, pose.joints - pose.wrist)
        return jacobian.reshape(-1, _VARIABLES)

    def _cost(self, pose: BonePose, joints: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Residuals of the joints (63,), of the priors (K,), and the sum of squares."""
        residuals = (joints - pose.joints).ravel()
        prior_residuals = self.prior_mean - self.prior @ pose.angles
        return (
            residuals,
            prior_residuals,
            float(residuals @ residuals + sigma * sigma * (prior_residuals @ prior_residuals)),
        )

    def _refine(self, pose: BonePose, rig: Rig, joints: np.ndarray, sigma: float) -> BonePose:
        """Levenberg-Marquardt."""
        config = self._configuration
        residuals, prior_residuals, cost = self._cost(pose, joints, sigma)
        damping, weight = config.first_damping, sigma * sigma
        prior, prior_normal = weight * self.prior.T, weight * self.prior_normal
        for _ in range(config.max_iterations):
            jacobian = self.jacobian(pose)
            normal = jacobian.T @ jacobian
            normal[6:, 6:] += prior_normal
            right = jacobian.T @ residuals
            right[6:] += prior @ prior_residuals
            diagonal = normal.diagonal().copy()
            fixed = np.zeros(_VARIABLES, bool)
            fixed[6:] = active_limits(pose.angles, right[6:])
            if fixed.any():
                normal[fixed], normal[:, fixed], right[fixed], diagonal[fixed] = 0, 0, 0, 1
            while damping < config.max_damping:
                normal.flat[:: _VARIABLES + 1] = diagonal * (1 + damping) + 1e-9
                trial = self.step(pose, np.linalg.solve(normal, right), rig)
                residuals, prior_residuals, trial_cost = self._cost(trial, joints, sigma)
                if trial_cost <= cost:
                    break
                damping = max(10 * damping, 1e-2)
            else:
                break
            gain, pose, cost = cost - trial_cost, trial, trial_cost
            damping = damping / 10
            if gain < config.relative_tolerance * cost + 1e-9:
                break
        return pose


def _within(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Clip values: ``numpy.clip`` takes three times as long on arrays as small as these."""
    return np.minimum(np.maximum(values, low), high)


def fill_rigid_jacobian(jacobian: np.ndarray, arms: np.ndarray) -> None:
    """Set the first six columns of a jacobian (N, 3, T): a turn about where arms (N, 3) of N places start, a shift."""
    x, y, z = arms.T
    jacobian[:, :, :6] = 0
    jacobian[:, 0, 1], jacobian[:, 0, 2], jacobian[:, 1, 2] = z, -y, x
    jacobian[:, 1, 0], jacobian[:, 2, 0], jacobian[:, 2, 1] = -z, y, -x
    jacobian[:, [0, 1, 2], [3, 4, 5]] = 1


def active_limits(angles: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Which angles (D,) are at a limit that a step along ``gradient`` (D,) would exceed: those stay out of the step."""
    return ((angles <= LOWER) & (gradient < 0)) | ((angles >= UPPER) & (gradient > 0))


def _rotation(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix of one rotation vector: what geometry.rotations does for batches, without their overhead."""
    x, y, z = vector.tolist()
    angle = (x * x + y * y + z * z) ** 0.5
    sine = np.sin(angle) / angle if angle > 1e-9 else 1.0
    versine = (1 - np.cos(angle)) / (angle * angle) if angle > 1e-9 else 0.5
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return _STILL + sine * cross + versine * (cross @ cross)
