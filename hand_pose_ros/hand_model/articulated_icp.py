"""Articulated iterative closest point: the hand model fitted to the depth image of a hand.

A network knows what is what in an image; the image knows better where it is. From the network's joints on,
Gauss-Newton steps on the rigid pose, all angles, the shape and the bones' lengths minimize the sum of:

1. point to plane: distances of the image's points from the closest surface that faces the camera, along its normals;
2. silhouette: how far parts of the surface lie outside the hand's silhouette where the camera sees past them;
3. joints: distances from the network's joints, weighted by their sigma;
4. priors on angles, shape and lengths.

In depth images of a moving hand all points are offset in the image (``training.synthesis.motion`` says why). So an
image offset (a shift and a turn in the image's plane) is estimated too, and points weigh less, the faster the hand is.

Where the network's views of a hand disagree, each of these hypotheses is a start, and the residual decides.

The terms are those of Tagliasacchi, Schroeder, Tkach, Bouaziz, Botsch, Pauly: "Robust Articulated-ICP for Real-Time
Hand Tracking", Computer Graphics Forum 34(5), 2015, section 4; the network takes the place of their temporal prior and
of their detected fingertips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import KNUCKLES
from hand_pose_ros.geometry.meshes import vertex_normals
from hand_pose_ros.hand_model.inverse_kinematics import (
    CROSS,
    DOF_FINGER,
    DOF_LEVEL,
    BonePose,
    HandShapeState,
    InverseKinematics,
    Rig,
    RightHandSolver,
    active_limits,
    fill_rigid_jacobian,
)
from hand_pose_ros.hand_model.kinematics import DOF_NAMES
from hand_pose_ros.hand_model.observation import HandObservation, nearest_neighbors

#: Joints (21, 3) and their sigma (21,), meters: one view's estimate of a hand.
Hypothesis = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class IcpConfiguration:
    """Constants of :class:`ArticulatedIcp`, found on rendered validation clips."""

    min_iterations: int = 4  # before convergence is believed: correspondences of the first steps are rough
    max_iterations: int = 12
    convergence_m: float = 0.001  # it ends when no joint moves farther in a step
    shape_interval_frames: int = 10  # shape is fitted in so many frames, then in one of so many: it changes no more
    min_points: int = 50  # fewer say nothing
    max_points: int = 800  # more take longer and add nothing
    bone_radius: float = 0.3  # pixels so near a bone may be the hand's, as a share of the hand's size
    normal_sigma_m: float = 0.0015  # of a point along the normal, of a hand at rest
    normal_sigma_per_speed_s: float = 0.0015  # what each m/s adds to it
    independent_points: float = 80.0  # all points weigh as so many: what one is off by, its neighbors are too
    first_correspondence_m: float = 0.02  # a point corresponds to surface within this in the first step
    last_correspondence_m: float = 0.008  # and in the last ones
    correspondence_decay: float = 0.6  # factor from one step to the next
    first_tangential_iterations: int = 2  # steps with the first of the two weights below
    first_tangential_weight: float = 0.2  # against the normal's: draws a finger along itself, to where it is not yet
    tangential_weight: float = 0.03  # later
    silhouette_margin_m: float = 0.02  # the camera sees past surface when it measures something so far behind
    silhouette_edge_m: float = 0.004  # cameras lose the edges of what they see
    max_silhouette_m: float = 0.03  # surface farther outside is no part of a small error
    silhouette_points: float = 40.0  # weight of the whole surface, in points, were all of it outside
    min_joint_sigma_m: float = 0.003  # networks are too sure of easy joints
    offset_sigma_m: float = 0.0005  # image offset of a hand at rest
    offset_sigma_per_speed_s: float = 0.006  # what each m/s adds to it
    offset_lever_m: float = 0.05  # a turn counts by what it moves at this distance from the hand's center
    min_hypothesis_distance_m: float = 0.02  # a hypothesis is tried if one of its joints is so far off
    min_hypothesis_gain_m: float = 0.0002  # and taken if its mean residual is so much smaller
    max_residual_m: float = 0.015  # residuals count at most as this
    damping: float = 1e-3  # relative, on the diagonal
    difference_step: float = 1e-2  # of derivatives by shape and log stretch


class ArticulatedIcp:
    """Fits the hand model of either side to depth images.

    Args:
        inverse_kinematics: whose hand models are taken.
        configuration: its constants.

    """

    def __init__(
        self, inverse_kinematics: InverseKinematics, configuration: IcpConfiguration = IcpConfiguration()
    ) -> None:
        self.configuration = configuration
        self._solvers = {side: _RightHandIcp(hand, configuration) for side, hand in inverse_kinematics.hands.items()}

    def fit(
        self,
        joints: np.ndarray,
        sigma: np.ndarray,
        side: str,
        depth: np.ndarray,
        camera: Camera,
        state: HandShapeState | None = None,
        hypotheses: Sequence[Hypothesis] = (),
        speed: float = 0.0,
    ) -> np.ndarray:
        """Fit the joints of one hand to a depth image.

        Args:
            joints: (21, 3) meters, camera optical frame, as a network estimates them.
            sigma: (21,) expected error of each of them, meters.
            side: ``left`` or ``right``.
            depth: (H, W) meters, 0 for holes; of an image or of a part of it.
            camera: pinhole of ``depth``.
            state: what is known of this hand's shape from earlier frames, which :meth:`InverseKinematics.fit` brings up
                to date; None for this frame alone.
            hypotheses: joints and sigma of other views of this hand.
            speed: of the hand, m/s.

        Returns:
            (21, 3) meters: the joints of the hand model as the image shows it, or those given where there are too few
            points.

        """
        threshold = self.configuration.min_hypothesis_distance_m
        starts = [(joints, sigma)]
        starts += [other for other in hypotheses if np.linalg.norm(other[0] - joints, axis=1).max() > threshold]
        state = HandShapeState() if state is None else state
        if side == 'right':
            return self._solvers[side].fit(starts, depth, camera, state, speed)
        mirror = np.array([-1.0, 1.0, 1.0])
        starts = [(joints * mirror, sigma) for joints, sigma in starts]
        flipped = replace(camera, cx=camera.width - 1 - camera.cx)
        return self._solvers[side].fit(starts, depth[:, ::-1], flipped, state, speed) * mirror


class _RightHandIcp:
    """ICP of one model of a right hand.

    Variables are a turn about the wrist and a shift (6), the angles (D), where they are fitted the shape parameters and
    the log stretches (X), and the image offset (3).
    """

    def __init__(self, hand: RightHandSolver, configuration: IcpConfiguration) -> None:
        self.hand, self.configuration = hand, configuration
        self.count = len(DOF_NAMES) + 6
        # How much of each vertex an angle turns: its weight in the bones from the angle's own outwards.
        fingers = hand.model.weights[:, 1:].astype(float).reshape(-1, *hand.axes.shape[:2])
        self._turned_weights = np.cumsum(fingers[:, :, ::-1], 2)[:, :, ::-1][:, DOF_FINGER, DOF_LEVEL]
        self._normals = vertex_normals(hand.model.vertices, hand.model.faces)

    def fit(
        self, hypotheses: Sequence[Hypothesis], depth: np.ndarray, camera: Camera, state: HandShapeState, speed: float
    ) -> np.ndarray:
        """Joints (21, 3) that the first hypothesis leads to, or another one whose residual is clearly smaller."""
        config, joints = self.configuration, hypotheses[0][0]
        observations = [
            HandObservation(start, depth, camera, config.bone_radius, config.max_points) for start, _ in hypotheses
        ]
        if len(observations[0].points) < config.min_points:
            return joints
        interval = config.shape_interval_frames
        with_shape = state.icp_frames < interval or state.icp_frames % interval == 0
        state.icp_frames += 1
        if state.shape is None:
            state = replace(state)
            self.hand.update_shape(joints, state)
        rig = self.hand.rig(state.shape, state.log_stretch)
        fits = [
            self._solve(hypothesis, observation, rig, with_shape, speed)
            for hypothesis, observation in zip(hypotheses, observations)
            if len(observation.points) >= config.min_points
        ]
        best = 0
        if len(fits) > 1:
            residuals = [self._residual(observations[0], *fit) for fit in fits]
            best = int(np.argmin(residuals)) if min(residuals) < residuals[0] - config.min_hypothesis_gain_m else 0
        return fits[best][0].joints

    def _solve(
        self, hypothesis: Hypothesis, observation: HandObservation, rig: Rig, with_shape: bool, speed: float
    ) -> tuple[BonePose, Rig]:
        """Gauss-Newton steps from one hypothesis."""
        config, (joints, sigma) = self.configuration, hypothesis
        normal_sigma = config.normal_sigma_m + config.normal_sigma_per_speed_s * speed
        offset_sigma = config.offset_sigma_m + config.offset_sigma_per_speed_s * speed
        center, offset = joints[list(KNUCKLES)].mean(0), np.zeros(3)
        pose = self.hand.pose(joints, rig)
        vertices, normals = self._surface(pose, rig)
        by_shape = self._shape_jacobians(pose, rig, vertices, with_shape)  # Once: they change little.
        for iteration in range(config.max_iterations):
            by_offset = _offset_jacobian(vertices, center, config.offset_lever_m)
            equations = _NormalEquations(self.count + by_shape[0].shape[2] + len(offset))
            index, *term = _point_term(
                observation, vertices + by_offset @ offset, normals, iteration, normal_sigma, config
            )
            jacobian = self._jacobian(index, vertices, pose, by_shape[0])
            equations.add(np.concatenate([jacobian, by_offset[index]], 2), *term)
            index, *term = _silhouette_term(observation, vertices, config)
            equations.add(self._jacobian(index, vertices, pose, by_shape[0]), *term)
            self._add_joints(equations, joints, 1 / np.maximum(sigma, config.min_joint_sigma_m), pose, by_shape[1])
            self._add_priors(equations, pose, rig, offset, offset_sigma)
            fixed = 6 + np.flatnonzero(active_limits(pose.angles, equations.right[6 : self.count]))
            change = equations.solve(fixed, config.damping)
            before = pose.joints
            pose, rig = self._step(pose, rig, change[: -len(offset)])
            offset = offset + change[-len(offset) :]
            converged = np.abs(pose.joints - before).max() < config.convergence_m
            if converged and iteration + 1 >= config.min_iterations:
                break
            vertices, normals = self._surface(pose, rig)
        return pose, rig

    def _surface(self, pose: BonePose, rig: Rig) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 3), meters, and their normals (V, 3)."""
        return self.hand.vertices(pose, rig).astype(float), self.hand.model.turn(self._normals, pose.bones).astype(
            float
        )

    def _residual(self, observation: HandObservation, pose: BonePose, rig: Rig) -> float:
        """Mean residual of a hand, meters: points away from the surface, and surface in front of what is measured."""
        vertices, normals = self._surface(pose, rig)
        facing = vertices[(normals * vertices).sum(1) < 0]
        _, distances = nearest_neighbors(observation.points, facing)
        in_front = observation.depth_in_front(facing)
        limit = self.configuration.max_residual_m
        return float(np.minimum(distances, limit).mean() + np.clip(in_front, 0, limit).mean())

    def _jacobian(self, index: np.ndarray, vertices: np.ndarray, pose: BonePose, by_shape: np.ndarray) -> np.ndarray:
        """Derivatives (K, 3, T) of vertices ``index`` (K,) by all variables but the offset."""
        places, count = vertices[index], self.count
        jacobian = np.empty((len(index), 3, count + by_shape.shape[2]))
        fill_rigid_jacobian(jacobian, places - pose.wrist)
        axes = self.hand.turning_axes(pose)
        # Row by row of each matrix, v @ matrix is axis x v.
        cross = (axes @ CROSS).reshape(-1, 3, 3)
        pivots = (pose.fingers[DOF_FINGER, DOF_LEVEL][:, None] @ cross)[:, 0]
        turned = (places @ cross.transpose(1, 2, 0).reshape(3, -1)).reshape(-1, 3, len(cross)) - pivots.T
        jacobian[:, :, 6:count] = turned * self._turned_weights[index, None]
        jacobian[:, :, count:] = by_shape[index]
        return jacobian

    def _shape_jacobians(
        self, pose: BonePose, rig: Rig, vertices: np.ndarray, with_shape: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of vertices (V, 3, X) and joints (21, 3, X) by shape and stretch; X is 0 without."""
        step, joints, parameters = self.configuration.difference_step, pose.joints, rig.parameters
        by_vertex = np.empty((*vertices.shape, len(parameters) if with_shape else 0))
        by_joint = np.empty((*joints.shape, by_vertex.shape[2]))
        for i in range(by_vertex.shape[2]):
            other = parameters.copy()
            other[i] += step
            other_rig = self._rig(other)
            other_pose = self.hand.evaluate(pose.angles, pose.rotation, pose.wrist, other_rig)
            by_vertex[..., i] = (self.hand.vertices(other_pose, other_rig) - vertices) / step
            by_joint[..., i] = (other_pose.joints - joints) / step
        return by_vertex, by_joint

    def _rig(self, parameters: np.ndarray) -> Rig:
        return self.hand.rig(*np.split(parameters, [self.hand.model.shape_size]))

    def _add_joints(
        self,
        equations: _NormalEquations,
        joints: np.ndarray,
        inverse_sigma: np.ndarray,
        pose: BonePose,
        by_shape: np.ndarray,
    ) -> None:
        residuals = joints - pose.joints
        # Geman and McClure's weight, so that one joint far off does not pull the hand.
        weight = np.square(inverse_sigma) / (1 + np.square(np.linalg.norm(residuals, axis=1) * inverse_sigma / 3))
        jacobian = np.concatenate([self.hand.jacobian(pose).reshape(len(joints), 3, -1), by_shape], 2)
        equations.add(jacobian, weight[:, None, None] * np.eye(3), weight[:, None] * residuals)

    def _add_priors(
        self, equations: _NormalEquations, pose: BonePose, rig: Rig, offset: np.ndarray, offset_sigma: float
    ) -> None:
        first_offset = len(equations.right) - len(offset)
        angles, shape = slice(6, self.count), slice(self.count, first_offset)
        hand = self.hand
        equations.normal[angles, angles] += hand.prior_normal
        equations.right[angles] += hand.prior.T @ (hand.prior_mean - hand.prior @ pose.angles)
        if first_offset > self.count:
            equations.normal[shape, shape] += np.diag(hand.shape_prior)
            equations.right[shape] -= hand.shape_prior * rig.parameters
        equations.normal[first_offset:, first_offset:] += np.eye(len(offset)) / offset_sigma**2
        equations.right[first_offset:] -= offset / offset_sigma**2

    def _step(self, pose: BonePose, rig: Rig, change: np.ndarray) -> tuple[BonePose, Rig]:
        if len(change) > self.count:
            rig = self._rig(np.clip(rig.parameters + change[self.count :], *self.hand.parameter_limits))
        return self.hand.step(pose, change[: self.count], rig), rig


def _point_term(
    observation: HandObservation,
    vertices: np.ndarray,
    normals: np.ndarray,
    iteration: int,
    normal_sigma: float,
    config: IcpConfiguration,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Point to plane term: vertices (K,) with :meth:`_NormalEquations.add`'s weights and weighted residuals."""
    reach = max(config.last_correspondence_m, config.first_correspondence_m * config.correspondence_decay**iteration)
    early = iteration < config.first_tangential_iterations
    tangential = config.first_tangential_weight if early else config.tangential_weight
    facing = np.flatnonzero((normals * vertices).sum(1) < 0)
    nearest, distances = nearest_neighbors(observation.points, vertices[facing])
    close = distances < reach
    index = facing[nearest[close]]
    residuals = observation.points[close] - vertices[index]
    along = (residuals * normals[index]).sum(1)
    # Geman and McClure's weight: what lies far off is rather something else.
    weight = (1 + np.square(along / max(0.75 * config.last_correspondence_m, reach / 2))) ** -2.0
    weight *= config.independent_points / len(observation.points) / normal_sigma**2
    # A vertex has one derivative, however many points it is the nearest of.
    total = np.bincount(index, weight, len(vertices))
    which = np.flatnonzero(total)
    normal = normals[which]
    sums = np.stack([np.bincount(index, weight * residuals[:, i], len(vertices))[which] for i in range(3)], 1)
    along_sums = np.bincount(index, weight * along, len(vertices))[which]
    weights = total[which, None, None] * (normal[:, :, None] * normal[:, None] + tangential * np.eye(3))
    return which, weights, along_sums[:, None] * normal + tangential * sums


def _silhouette_term(
    observation: HandObservation, vertices: np.ndarray, config: IcpConfiguration
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Silhouette term: vertices (K,) with :meth:`_NormalEquations.add`'s weights and weighted residuals."""
    which, residuals = observation.silhouette_residuals(
        vertices, config.silhouette_margin_m, config.silhouette_edge_m, config.max_silhouette_m
    )
    distances = np.linalg.norm(residuals, axis=1)
    weight = (1 + np.square(distances / (config.max_silhouette_m / 2))) ** -2.0
    weight *= config.silhouette_points / len(vertices) / config.min_joint_sigma_m**2
    weighted = np.zeros((len(which), 3))
    weighted[:, :2] = (weight * (1 - config.silhouette_edge_m / distances))[:, None] * residuals
    return which, weight[:, None, None] * np.diag([1.0, 1.0, 0.0]), weighted


def _offset_jacobian(vertices: np.ndarray, center: np.ndarray, lever: float) -> np.ndarray:
    """Derivatives (V, 3, 3) of where points see vertices by the image offset: shifts along x and y, a turn about z."""
    jacobian = np.zeros((len(vertices), 3, 3))
    jacobian[:, [0, 1], [0, 1]] = 1
    jacobian[:, 0, 2] = (center[1] - vertices[:, 1]) / lever
    jacobian[:, 1, 2] = (vertices[:, 0] - center[0]) / lever
    return jacobian


class _NormalEquations:
    """Normal equations of weighted least squares in ``size`` variables."""

    def __init__(self, size: int) -> None:
        self.normal, self.right = np.zeros((size, size)), np.zeros(size)

    def add(self, jacobian: np.ndarray, weights: np.ndarray, weighted_residuals: np.ndarray) -> None:
        """Add K places.

        Args:
            jacobian: (K, 3, T) their derivatives by the first T variables.
            weights: (K, 3, 3) of their residuals.
            weighted_residuals: (K, 3) weight times residual.

        """
        count = jacobian.shape[2]
        flat = jacobian.reshape(-1, count)
        self.normal[:count, :count] += (weights @ jacobian).reshape(flat.shape).T @ flat
        self.right[:count] += weighted_residuals.ravel() @ flat

    def solve(self, fixed: np.ndarray, damping: float) -> np.ndarray:
        """Step of all variables, 0 for those of index ``fixed``."""
        normal, right = self.normal, self.right
        normal[fixed], normal[:, fixed], right[fixed] = 0, 0, 0
        normal[fixed, fixed] = 1
        normal.flat[:: len(right) + 1] *= 1 + damping
        return np.linalg.solve(normal, right)
