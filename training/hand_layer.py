"""A hand model as a differentiable layer: 63 numbers to vertices, joints and their places in a crop.

It does what :class:`hand_pose_ros.hand_model.model.HandModel` does, for batches and with gradients, and takes any such
model: the shipped one, or MANO's where its files are given.

The 63 parameters are those of Baek, Kim, Kim: "Pushing the Envelope for RGB-based Dense 3D Hand Pose Estimation via
Neural Rendering", CVPR 2019, section 3 (45 pose, 10 shape, a quaternion of 4, scale, 3 translation), with this meaning:

- pose: flexion, abduction and roll in radians of each of the 15 bones after the wrist, relative to rest, bone by bone
  in the order of ``kinematics.BONE_JOINTS``. The axes are the model's own, so that one layout serves both models and
  both sides; MANO's rotation vectors say the same in other coordinates. Of the 45, ``kinematics.DOF_NAMES`` are
  anatomical; the others have narrow limits (:func:`pose_limits`).
- shape: the model's shape parameters. Every hand is scaled to a hand size of one (``geometry.joints.hand_size``),
  because one color image does not tell a small hand from a distant one: shape is proportions.
- quaternion: x y z w, of any length, turns the hand about its wrist from the model's rest frame to the camera's.
- scale and translation: a point x y z (hand sizes, from the wrist) is seen at
  ``scale * (x, y) / (1 + pull * z) + (u, v)``, where ``translation`` is u, v and the pull. The pull is the hand's size
  over its distance: zero is the paper's weak perspective, and 0.2 a hand at arm's length from a camera on the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hand_pose_ros.geometry.joints import JOINTS, KNUCKLES, PARENTS
from hand_pose_ros.hand_model.kinematics import (
    BONE_JOINTS,
    BONE_PARENTS,
    DEGREES_OF_FREEDOM,
    JOINT_CARRIERS,
    LOWER,
    UPPER,
)
from hand_pose_ros.hand_model.model import HandModel

#: How many numbers each part of the parameters has, in their order.
PARTS = {'pose': 45, 'shape': 10, 'quaternion': 4, 'scale': 1, 'translation': 3}
PARAMETERS = sum(PARTS.values())

_KINDS = ('flexion', 'abduction', 'roll')
#: Place in the pose of each anatomical angle.
DOF_SLOTS = [3 * (dof.bone - 1) + _KINDS.index(dof.kind) for dof in DEGREES_OF_FREEDOM]
#: How far an angle that anatomy does not have may turn either way, radians: soft tissue gives a little.
GIVE = 0.1


def split(parameters: Tensor) -> dict[str, Tensor]:
    """Part (..., 63) parameters by the names of ``PARTS``."""
    return dict(zip(PARTS, parameters.split(list(PARTS.values()), -1)))


def pose_limits(model: HandModel) -> tuple[Tensor, Tensor]:
    """Lowest and highest pose (45,), relative to the model's rest."""
    low, high = (torch.full((PARTS['pose'],), sign * GIVE) for sign in (-1, 1))
    for limit, values in ((low, LOWER), (high, UPPER)):
        limit[DOF_SLOTS] = torch.from_numpy(values - model.rest_angles).float()
    return low, high


def turn(axes: Tensor, angles: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) about unit ``axes`` (..., 3) by ``angles`` (...) in radians (Rodrigues)."""
    x, y, z = axes.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    sine, cosine = angles.sin()[..., None, None], angles.cos()[..., None, None]
    return cosine * torch.eye(3).to(axes) + sine * cross + (1 - cosine) * axes[..., :, None] * axes[..., None, :]


def quaternion_matrices(quaternions: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4), x y z w, of any length but zero."""
    x, y, z, w = (quaternions / quaternions.norm(dim=-1, keepdim=True).clamp_min(1e-6)).unbind(-1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z),
            2 * (x * y - z * w),
            2 * (x * z + y * w),
            2 * (x * y + z * w),
            1 - 2 * (x * x + z * z),
            2 * (y * z - x * w),
            2 * (x * z - y * w),
            2 * (y * z + x * w),
            1 - 2 * (x * x + y * y),
        ],
        -1,
    ).unflatten(-1, (3, 3))


def into_crop(points: Tensor, scale: Tensor, translation: Tensor) -> Tensor:
    """Crop coordinates (B, N, 2) of points (B, N, 3) in hand sizes, see this module's description."""
    # A point is never behind the camera, whatever a network begins with.
    nearness = 1 + translation[:, None, 2:] * points[..., 2:]
    return scale[:, None] * points[..., :2] / nearness.clamp_min(0.2) + translation[:, None, :2]


@dataclass(frozen=True)
class Hands:
    """A batch of posed hands, in hand sizes from the wrist, in the camera's directions.

    Attributes:
        vertices: (B, V, 3).
        joints: (B, 21, 3).
        rest: (B, V, 3) vertices of the same shape at rest, in the model's own directions.
        seen: (B, V, 2) vertices in crop coordinates.

    """

    vertices: Tensor
    joints: Tensor
    rest: Tensor
    seen: Tensor


class HandLayer(nn.Module):
    """One side of a hand model.

    Args:
        model: the model; it may have pose blend shapes.

    Raises:
        ValueError: the model has more shape parameters than the layout.

    """

    def __init__(self, model: HandModel) -> None:
        super().__init__()
        if model.shape_size > PARTS['shape']:
            raise ValueError(
                f'the hand model has {model.shape_size} shape parameters; the layer takes {PARTS["shape"]}'
            )

        def keep(name: str, array: np.ndarray | None) -> None:
            tensor = None if array is None else torch.from_numpy(np.array(array, np.float32))
            self.register_buffer(name, tensor, persistent=False)

        self.side = model.side
        self.shape_size = model.shape_size
        keep('template', model.vertices)
        keep('vertex_basis', model.vertex_basis.reshape(-1, model.shape_size))
        keep('rest_joints', model.joints)
        keep('joint_basis', model.joint_basis.reshape(-1, model.shape_size))
        keep('weights', model.weights)
        keep('axes', model.axes)
        keep('pose_basis', None if model.pose_basis is None else model.pose_basis.reshape(3 * len(model.vertices), -1))
        self.register_buffer('faces', torch.from_numpy(model.faces.astype(np.int64)), persistent=False)
        low, high = pose_limits(model)
        self.register_buffer('low', low, persistent=False)
        self.register_buffer('high', high, persistent=False)
        keep('rest_angles', model.rest_angles)
        self.neighbors = Neighbors(model.faces, len(model.vertices))

    def pose_of_angles(self, angles: Tensor) -> Tensor:
        """Pose (B, 45) of joint angles (B, D) in radians, ordered as ``kinematics.DOF_NAMES``."""
        pose = angles.new_zeros(len(angles), PARTS['pose'])
        pose[:, DOF_SLOTS] = angles - self.rest_angles
        return pose

    def bone_rotations(self, pose: Tensor) -> Tensor:
        """Rotation (B, 16, 3, 3) of each bone relative to rest, in the frame of the bone before it; see ``pose``."""
        # Not len(): that would fix the batch size of an exported network.
        single = turn(self.axes[1:].expand(pose.shape[0], -1, -1, -1), pose.unflatten(1, (-1, 3)))
        bones = single[:, :, 0] @ single[:, :, 1] @ single[:, :, 2]
        wrist = torch.eye(3).to(bones).expand(pose.shape[0], 1, 3, 3)
        return torch.cat([wrist, bones], 1)

    def rest(self, shape: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices (B, V, 3) and joints (B, 21, 3) at rest, meters."""
        shape = shape[:, : self.shape_size]
        return (
            self.template + (shape @ self.vertex_basis.T).unflatten(1, (-1, 3)),
            self.rest_joints + (shape @ self.joint_basis.T).unflatten(1, (-1, 3)),
        )

    def skin(self, rotations: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        """Pose as :meth:`HandModel.pose_bones` does.

        Args:
            rotations: (B, 16, 3, 3) of each bone relative to rest; the wrist's turns the whole hand.
            shape: (B, S).

        Returns:
            Vertices (B, V, 3) and joints (B, 21, 3) in meters, the wrist where it is at rest.

        """
        vertices, rest = self.rest(shape)
        world: list[Tensor] = []
        for bone, parent in enumerate(BONE_PARENTS):
            world.append(rotations[:, bone] if parent < 0 else world[parent] @ rotations[:, bone])
        joints = [rest[:, 0]]
        for joint in range(1, len(JOINTS)):
            parent = PARENTS[joint]
            bone = world[JOINT_CARRIERS[parent]]
            joints.append(joints[parent] + (bone @ (rest[:, joint] - rest[:, parent])[..., None])[..., 0])
        turned, placed = torch.stack(world, 1), torch.stack(joints, 1)
        if self.pose_basis is not None:
            local = rotations[:, 1:] - torch.eye(3).to(rotations)
            vertices = vertices + (local.flatten(1) @ self.pose_basis.T).unflatten(1, (-1, 3))
        bones = list(BONE_JOINTS)
        shift = placed[:, bones] - (turned @ rest[:, bones, :, None])[..., 0]
        transforms = torch.cat([turned, shift[..., None]], -1).flatten(2)
        blended = (self.weights @ transforms).unflatten(2, (3, 4))
        return (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3], placed

    def size(self, rest_joints: Tensor) -> Tensor:
        """Hand size (B, 1, 1) in meters of joints (B, 21, 3), as ``geometry.joints.hand_size`` has it."""
        return (rest_joints[:, list(KNUCKLES)] - rest_joints[:, :1]).norm(dim=2).mean(1)[:, None, None]

    def forward(self, parameters: Tensor) -> Hands:
        """Pose, turn and place hands by (B, 63) parameters, see this module's description."""
        part = split(parameters)
        vertices, joints = self.skin(self.bone_rotations(part['pose']), part['shape'])
        rest, rest_joints = self.rest(part['shape'])
        size, rotation = self.size(rest_joints), quaternion_matrices(part['quaternion'])
        wrist = joints[:, :1]

        def placed(points: Tensor) -> Tensor:
            return (points - wrist) / size @ rotation.mT

        vertices = placed(vertices)
        return Hands(
            vertices, placed(joints), (rest - wrist) / size, into_crop(vertices, part['scale'], part['translation'])
        )

    def articulation_loss(self, pose: Tensor) -> Tensor:
        """Squared radians beyond the limits, summed over the pose (B, 45): (B,)."""
        beyond = (self.low - pose).clamp_min(0) + (pose - self.high).clamp_min(0)
        return beyond.square().sum(1)

    def laplacian_loss(self, vertices: Tensor, rest: Tensor) -> Tensor:
        """How much rougher or smoother posing made the surface: (B,), zero at rest and for every rigid motion.

        A vertex's Laplacian is what leads to the mean of its neighbors. Its length is compared with that at rest, in
        units of the mean edge, so that a turned finger costs nothing and a crumpled one does.
        """
        posed, still = ((self.neighbors.mean(x) - x).square().sum(2) for x in (vertices, rest))
        edge = self.neighbors.edge(rest)[:, None]
        # The root is not differentiable where a vertex lies in the middle of its neighbors.
        lengths = [(x + 1e-4 * edge * edge).sqrt() for x in (posed, still)]
        return ((lengths[0] - lengths[1]) / edge).square().mean(1)


class Neighbors(nn.Module):
    """Which vertices share an edge."""

    def __init__(self, faces: np.ndarray, count: int) -> None:
        super().__init__()
        edges = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1), axis=0)
        edges = edges[edges[:, 0] != edges[:, 1]]
        both = np.concatenate([edges, edges[:, ::-1]])
        degree = np.bincount(both[:, 0], minlength=count)
        self.register_buffer('ends', torch.from_numpy(both.T.astype(np.int64).copy()), persistent=False)
        self.register_buffer('share', torch.from_numpy(1 / np.maximum(degree, 1)).float(), persistent=False)
        # A vertex of no face is its own only neighbor.
        self.register_buffer('lonely', torch.from_numpy(degree == 0), persistent=False)

    def mean(self, values: Tensor) -> Tensor:
        """Mean (B, V, 3) of the neighbors' values."""
        total = torch.zeros_like(values).index_add(1, self.ends[0], values[:, self.ends[1]])
        return torch.where(self.lonely[:, None], values, total * self.share[:, None])

    def edge(self, vertices: Tensor) -> Tensor:
        """Mean length of an edge (B,)."""
        return (vertices[:, self.ends[0]] - vertices[:, self.ends[1]]).norm(dim=2).mean(1)


@torch.no_grad()
def skeleton_regressor(layer: HandLayer, near: int = 48, poses: int = 96, seed: int = 0) -> Tensor:
    """Weights (21, V) that make joints of vertices, as the paper's skeleton regressor (section 3) does.

    Every joint is a weighted mean of the vertices that lie nearest to it at rest, fitted by ridge regression to random
    poses and shapes within the limits. Fingertips are among them, which MANO's own regressor has not.
    """
    generator = torch.Generator().manual_seed(seed)
    device = layer.template.device
    share = torch.rand(poses, PARTS['pose'], generator=generator).to(device)
    pose = layer.low + share * (layer.high - layer.low)
    shape = torch.randn(poses, PARTS['shape'], generator=generator).to(device)
    vertices, joints = layer.skin(layer.bone_rotations(pose), shape)
    weights = torch.zeros(len(JOINTS), len(layer.template), dtype=torch.float64, device=device)
    for joint in range(len(JOINTS)):
        chosen = (layer.template - layer.rest_joints[joint]).norm(dim=1).argsort()[:near]
        # In millimeters from the joint; the last row makes the weights sum to one.
        rows = 1000 * (vertices[:, chosen].double() - joints[:, None, joint].double()).mT.flatten(0, 1)
        rows = torch.cat([rows, torch.full((1, near), 1e4, dtype=torch.float64, device=device)])
        wanted = torch.zeros(len(rows), 1, dtype=torch.float64, device=device)
        wanted[-1] = 1e4
        ridge = 50.0 * torch.eye(near, dtype=torch.float64, device=device)
        weights[joint, chosen] = torch.linalg.solve(rows.T @ rows + ridge, rows.T @ wanted)[:, 0]
    return (weights / weights.sum(1, keepdim=True)).float()
