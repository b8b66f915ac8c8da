"""Articulated ICP: joints come nearer the truth, on both sides alike, and nothing else moves them."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.geometry.meshes import vertex_normals
from hand_pose_ros.geometry.rotations import axis_angle_to_matrix
from hand_pose_ros.hand_model.articulated_icp import ArticulatedIcp
from hand_pose_ros.hand_model.inverse_kinematics import HandShapeState, InverseKinematics
from hand_pose_ros.hand_model.kinematics import DOF_INDEX, LOWER
from hand_pose_ros.hand_model.model import PosedHand, load_hand_model
from hand_pose_ros.imaging.images import DepthImage
from hand_pose_ros.regions.cube import cut_view

RIGHT = load_hand_model()
MODELS = {'right': RIGHT, 'left': RIGHT.mirrored()}
ICP = ArticulatedIcp(InverseKinematics(RIGHT))
INTERVAL = ICP.configuration.shape_interval_frames
MIRROR = np.array([-1.0, 1.0, 1.0])
CAMERA = Camera(112, 96, 150.0, 150.0, 55.5, 47.5)
SIGMA = np.full(21, 0.008)


def open_hand(side: str, bend: float = 20.0, shape: float = 0.0) -> PosedHand:
    """A hand 0.4 m away with its palm or its back to the camera, every finger bent a little."""
    angles = np.clip(np.zeros(len(LOWER)), LOWER, None)
    for name, index in DOF_INDEX.items():
        if name.endswith('flexion') and not name.startswith('thumb'):
            angles[index] = np.radians(bend)
    shapes = np.zeros(RIGHT.shape_size)
    shapes[0] = shape
    up = RIGHT.joints[9] - RIGHT.joints[0]
    across = RIGHT.joints[5] - RIGHT.joints[17]
    frame = np.stack([v / np.linalg.norm(v) for v in (np.cross(across, up), up)])
    # Rows: what becomes the camera's x, y and z.
    turn = np.stack([np.cross(-frame[1], frame[0]), -frame[1], frame[0]])
    turn = axis_angle_to_matrix(np.array([0.0, 1.0, 0.0]), np.array(0.4)) @ turn
    if side == 'left':
        turn = turn * np.outer(MIRROR, MIRROR)
    rest = MODELS[side].pose(angles, shapes, turn)
    return MODELS[side].pose(angles, shapes, turn, np.array([0.0, 0.0, 0.4]) - rest.joints.mean(0))


def picture(hand: PosedHand, faces: np.ndarray, behind: float = 0.0) -> np.ndarray:
    """Depth (H, W) float32 of a mesh, meters; ``behind`` is how far away a wall stands, 0 for none."""
    depth = np.full((CAMERA.height, CAMERA.width), behind or np.inf)
    pixels = CAMERA.project(hand.vertices)
    for face in faces:
        (ax, ay), (bx, by), (cx, cy) = pixels[face]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        low, high = np.floor(pixels[face].min(0)).astype(int), np.ceil(pixels[face].max(0)).astype(int) + 1
        x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        if abs(area) < 1e-9 or low.min() < 0 or high[0] > CAMERA.width or high[1] > CAMERA.height:
            continue
        b = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        c = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        inside = (b >= 0) & (c >= 0) & (b + c <= 1)
        z = hand.vertices[face, 2] @ np.stack([1 - b - c, b, c]).reshape(3, -1)
        part = depth[low[1] : high[1], low[0] : high[0]]
        part[inside] = np.minimum(part[inside], z.reshape(b.shape)[inside])
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32)


def error(joints: np.ndarray, hand: PosedHand) -> float:
    return float(np.linalg.norm(joints - hand.joints, axis=1).mean())


@pytest.fixture(scope='module')
def observed() -> dict[str, tuple[PosedHand, np.ndarray]]:
    """Each side's hand, and a depth image of it before a wall."""
    return {
        side: (hand, picture(hand, MODELS[side].faces, 0.7))
        for side, hand in ((side, open_hand(side)) for side in SIDES)
    }


@pytest.mark.parametrize('side', SIDES)
def test_noisy_joints_converge_to_a_fraction_of_their_error(observed, side):
    hand, depth = observed[side]
    rng = np.random.default_rng(3)
    before, after = [], []
    for _ in range(8):
        joints = hand.joints + rng.normal(0, 0.005, (21, 3))
        before.append(error(joints, hand))
        after.append(error(ICP.fit(joints, SIGMA, side, depth, CAMERA), hand))
    assert np.mean(after) < 0.5 * np.mean(before)
    assert np.mean(after) < 0.0035


def test_both_sides_are_treated_alike(observed):
    hand, depth = observed['right']
    joints = hand.joints + np.random.default_rng(1).normal(0, 0.005, (21, 3))
    found = ICP.fit(joints, SIGMA, 'right', depth, CAMERA)
    mirrored = ICP.fit(joints * MIRROR, SIGMA, 'left', depth[:, ::-1], CAMERA)
    assert np.allclose(mirrored, found * MIRROR, atol=1e-6)


def test_a_finger_outside_the_silhouette_is_fitted_to_the_observed_one(observed):
    hand, depth = observed['right']
    joints = hand.joints.copy()
    side_step = np.cross(joints[20] - joints[17], [0, 0, 1.0])
    for joint, far in ((18, 0.006), (19, 0.011), (20, 0.016)):
        joints[joint] -= far * side_step / np.linalg.norm(side_step)
    sigma = SIGMA.copy()
    sigma[18:] = 0.02
    found = ICP.fit(joints, sigma, 'right', depth, CAMERA)
    assert np.linalg.norm(joints[20] - hand.joints[20]) > 0.015
    assert np.linalg.norm(found[20] - hand.joints[20]) < 0.006


@pytest.mark.parametrize('side', SIDES)
def test_the_hypothesis_of_the_smallest_residual_is_taken(observed, side):
    hand, depth = observed[side]
    right = hand.joints + np.random.default_rng(6).normal(0, 0.003, (21, 3))
    wrong = right.copy()
    wrong[14:17] = right[10:13] + (0.0, 0.0, 0.01)  # The ring finger on the middle one.

    def fitted(joints, *others):
        return ICP.fit(joints, SIGMA, side, depth, CAMERA, hypotheses=[(other, SIGMA) for other in others])

    assert np.linalg.norm(fitted(wrong)[16] - hand.joints[16]) > 0.007
    assert np.allclose(fitted(wrong, wrong, right), fitted(right), atol=0.001)
    assert np.array_equal(fitted(right, wrong), fitted(right))
    assert np.array_equal(fitted(right, right + (0.0, 0.0, 0.5)), fitted(right)), 'where nothing is observed'


@pytest.mark.parametrize('side', SIDES)
def test_an_image_offset_explains_the_points_of_a_moving_hand(observed, side):
    """Its points lie as if it stood 6 mm beside where the network sees it, and tell how far away it is."""
    hand, depth = observed[side]
    beside = hand.joints + (0.006, 0.0, 0.004)
    at_rest, moving = (ICP.fit(beside, SIGMA, side, depth, CAMERA, speed=speed) - hand.joints for speed in (0.0, 1.0))
    assert np.abs(at_rest[:, 0].mean()) < 0.0015 and moving[:, 0].mean() > 0.004
    assert np.abs(moving[:, 1:].mean(0)).max() < 0.003


def test_clutter_near_the_hand_does_not_move_it(observed):
    hand, depth = observed['right']
    joints = hand.joints + np.random.default_rng(2).normal(0, 0.003, (21, 3))
    cluttered = depth.copy()
    cluttered[:, :8] = 0.38  # A post beside the hand.
    flying = np.random.default_rng(4).uniform(size=depth.shape) < 0.03
    cluttered[flying & (depth == np.float32(0.7))] = 0.45
    clean = ICP.fit(joints, SIGMA, 'right', depth, CAMERA)
    assert np.linalg.norm(ICP.fit(joints, SIGMA, 'right', cluttered, CAMERA) - clean, axis=1).max() < 0.004


def test_a_track_learns_the_persons_bones_and_keeps_them():
    hand = open_hand('right', shape=-1.5)
    depth = picture(hand, RIGHT.faces)
    rng = np.random.default_rng(5)
    fitter, state, errors = InverseKinematics(RIGHT), HandShapeState(), []
    for _ in range(INTERVAL + 5):
        joints = ICP.fit(hand.joints + rng.normal(0, 0.004, (21, 3)), SIGMA, 'right', depth, CAMERA, state)
        fitter.fit(joints, 'right', mesh=False, state=state)
        errors.append(error(joints, hand))
    assert state.icp_frames == INTERVAL + 5
    assert np.mean(errors[INTERVAL:]) < 0.003
    assert np.mean(errors[INTERVAL:]) < 1.1 * np.mean(errors[:INTERVAL])
    # With the shape known, the bones are the track's.
    bones = np.linalg.norm(np.diff(joints[[5, 6, 7]], axis=0), axis=1)
    assert np.allclose(bones, np.linalg.norm(np.diff(hand.joints[[5, 6, 7]], axis=0), axis=1), atol=0.003)


def test_too_few_points_leave_the_joints_as_they_are(observed):
    hand, _ = observed['right']
    empty = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    state = HandShapeState()
    assert ICP.fit(hand.joints, SIGMA, 'right', empty, CAMERA, state) is hand.joints
    assert state.icp_frames == 0
    wall = np.full_like(empty, 0.9)
    assert np.array_equal(ICP.fit(hand.joints, SIGMA, 'left', wall, CAMERA), hand.joints)


def test_input_is_left_alone(observed):
    hand, depth = observed['right']
    joints, copy = hand.joints.copy(), depth.copy()
    ICP.fit(joints, SIGMA, 'right', depth, CAMERA)
    assert np.array_equal(joints, hand.joints) and np.array_equal(depth, copy)


def test_the_derivatives_are_those_of_the_surface():
    solver = ICP._solvers['right']
    hand = solver.hand
    rig = hand.rig(np.linspace(-1, 1, RIGHT.shape_size), np.linspace(-0.1, 0.1, 15))
    pose = hand.pose(open_hand('right').joints, rig)
    vertices = hand.vertices(pose, rig).astype(float)
    by_shape = solver._shape_jacobians(pose, rig, vertices, True)
    which = np.arange(0, len(vertices), 7)
    jacobian = solver._jacobian(which, vertices, pose, by_shape[0])
    small = 1e-3
    for variable in range(jacobian.shape[2]):
        change = np.zeros(jacobian.shape[2])
        change[variable] = small
        moved = (hand.vertices(*solver._step(pose, rig, change)) - vertices)[which] / small
        wanted = jacobian[:, :, variable]
        # Skin between bones is blended, and the angles at their limits do not move.
        assert (
            np.abs(moved).max() < 1e-6
            or np.median(np.linalg.norm(moved - wanted, axis=1)) < 2e-3 + 0.05 * np.linalg.norm(wanted, axis=1).max()
        ), variable


def test_normals_point_outwards():
    center = RIGHT.vertices.mean(0)
    normals = vertex_normals(RIGHT.vertices, RIGHT.faces)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    assert ((normals * (RIGHT.vertices - center)).sum(1) > 0).mean() > 0.7


def test_a_view_shows_what_is_in_front_of_and_behind_the_cube(observed):
    hand, depth = observed['right']
    center = hand.joints.mean(0)
    view, camera = cut_view(DepthImage(depth), CAMERA, center, 0.1, 64)
    assert view.shape == (64, 64) == (camera.height, camera.width)
    assert (view == np.float32(0.7)).any(), 'the wall is 0.3 m behind the hand'
    # A point is the same in both pictures.
    whole = CAMERA.project(center)
    part = camera.project(center)
    assert np.allclose(part, 31.5)
    assert view[31, 31] == pytest.approx(depth[int(round(whole[1])), int(round(whole[0]))], abs=0.01)
