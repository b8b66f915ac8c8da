"""Synthetic hands: the rasterizer against ray casting, anatomy, limits, sensors, determinism."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')
pytest.importorskip('anny', reason='training requirements are not installed: make setup-training')
pytest.importorskip('numba', reason='training requirements are not installed: make setup-training')

from hand_pose_ros.detection.center_refinement import PRESENT_WITHIN, REFINER_HALF
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import FINGER_JOINTS, TIPS, hand_center, hand_size
from hand_pose_ros.hand_model.kinematics import DOF_INDEX, LOWER, UPPER, forward_kinematics, local_rotations
from training import validation_sets
from training.rasterizer import EMPTY, ZBuffer
from training.synthesis.crops import CropSource, draw_view_of_hand
from training.synthesis.motion import Motion, expose
from training.synthesis.people import draw_people
from training.synthesis.poses import draw_poses, penetration
from training.synthesis.scene import HAND, Poser, Scene, before_camera, draw_arm, plane, primitive
from training.synthesis.sensors import SENSORS, TIME_OF_FLIGHT, draw_weaknesses, sense
from training.synthesis.surroundings import ABSENT_BEYOND, absorb, draw_elsewhere, refiner_batches, scatter


@pytest.fixture(scope='module')
def people():
    return draw_people(6, np.random.default_rng(5))


@pytest.fixture(scope='module')
def poses(people):
    person = people[0]
    return draw_poses(300, np.random.default_rng(1), person.axes, person.rest_angles, person.body.joints)


def posed_scene(people, poses, seed=0):
    rng = np.random.default_rng(seed)
    poser = Poser(people)
    posed, joints = poser.pose(people[seed % len(people)], poses[seed], draw_arm(rng), True)
    posed, joints = before_camera(posed, joints, np.diag([1.0, -1, -1]), joints.mean(0), np.array([0.02, 0.01, 0.6]))
    return Scene(joints, poser.meshes(posed, True)), poser


def test_rasterizer_agrees_with_ray_casting(people, poses):
    """Embree, independent of our code, sees the same depth through every pixel's center."""
    rtcore = pytest.importorskip('embreex.rtcore_scene')
    from embreex.mesh_construction import TriangleMesh

    scene, _ = posed_scene(people, poses)
    scene.meshes.append(plane(np.array([0, 0, 0.75]), np.array([0.1, 0.2, -1.0]) / np.linalg.norm([0.1, 0.2, 1]), 0.6))
    scene.meshes.append(primitive('ball', np.eye(3), np.array([0.03, 0.05, 0.04]), np.array([-0.1, 0.05, 0.55])))
    width, height, f = 160, 120, 180.0
    depth, _ = scene.render(width, height, f, f, 79.5, 59.5)
    embree = rtcore.EmbreeScene()
    for points, faces, ids, _ in scene.meshes:
        TriangleMesh(embree, points[faces[ids]])
    v, u = np.mgrid[:height, :width]
    rays = np.stack([(u - 79.5) / f, (v - 59.5) / f, np.ones_like(u)], -1).reshape(-1, 3).astype(np.float32)
    cast = embree.run(np.zeros_like(rays), rays, query='DISTANCE').reshape(height, width)
    ours, theirs = depth < 100, cast < 100
    assert theirs.mean() > 0.5
    assert (ours != theirs).mean() < 0.002
    both = ours & theirs
    assert np.quantile(np.abs(depth - cast)[both], 0.995) < 2e-4


@pytest.mark.parametrize('perspective', [True, False])
def test_shares_are_of_the_triangle_and_the_depth_is_its_own(perspective):
    """Of one slanted triangle: a pixel's point by its shares lies on the pixel's ray, at the pixel's depth."""
    points = np.array([[-0.2, -0.15, 0.5], [0.2, -0.1, 0.9], [0.0, 0.2, 0.6]], np.float32)
    buffer = ZBuffer.empty(60, 80)
    pinhole = (90.0, 80.0, 39.5, 29.5)
    buffer.draw(points, np.array([[0, 1, 2]], np.int32), np.array([0], np.int32), pinhole, 7, perspective)
    v, u = np.nonzero(buffer.labels == 7)
    assert len(v) > 150 and (buffer.labels[buffer.labels != 7] == -1).all() and (buffer.faces[v, u] == 0).all()
    shares = buffer.shares[v, u]
    found = np.column_stack([1 - shares.sum(1), shares]) @ points
    scale = found[:, 2] if perspective else 1
    np.testing.assert_allclose(found[:, 2], buffer.depth[v, u], atol=1e-5)
    np.testing.assert_allclose(90 * found[:, 0] / scale + 39.5, u, atol=2e-3)
    np.testing.assert_allclose(80 * found[:, 1] / scale + 29.5, v, atol=2e-3)


def test_hands_have_the_proportions_of_hands(people):
    sizes = [hand_size(p.body.joints) for p in people]
    assert 0.04 < min(sizes) and max(sizes) < 0.14
    for person in people:
        joints = person.body.joints
        for finger, (a, b, c, tip) in FINGER_JOINTS.items():
            lengths = np.linalg.norm(np.diff(joints[[a, b, c, tip]], axis=0), axis=1) / hand_size(joints)
            assert (0.12 < lengths).all() and (lengths < 0.65).all(), finger
            assert lengths[0] > lengths[2], finger
        # The palm of a right hand held up before its owner, thumb to the right, looks at them.
        assert np.cross(joints[5] - joints[17], joints[9] - joints[0]) @ (joints[4] - joints[9]) > 0


def test_tips_lie_under_the_skin(people):
    """Four millimeters, scaled with the finger, from the farthest point of the fingertip."""
    body = people[0].body
    for tip in TIPS:
        axis = body.joints[tip] - body.joints[tip - 1]
        axis /= np.linalg.norm(axis)
        near = body.vertices[np.linalg.norm(body.vertices - body.joints[tip], axis=1) < 0.02]
        assert 0.0015 < ((near - body.joints[tip]) @ axis).max() < 0.006


def test_poses_are_within_limits_varied_and_not_inside_themselves(people, poses):
    assert (poses >= LOWER - 1e-9).all() and (poses <= UPPER + 1e-9).all()
    person = people[0]
    _, joints = forward_kinematics(person.body.joints, local_rotations(poses, person.axes, person.rest_angles))
    assert penetration(joints).max() < 0.42
    reach = (
        np.linalg.norm(joints[:, list(TIPS)] - joints[:, :1], axis=2)
        / np.linalg.norm(joints[:, 9] - joints[:, 0], axis=1)[:, None]
    )
    assert (reach[:, 1:].max(1) > 1.8).mean() > 0.3 and (reach[:, 1:].max(1) < 1.5).any()  # open hands, and fists
    pinch = np.linalg.norm(joints[:, 4] - joints[:, 8], axis=1)
    assert (pinch < 0.02).any()


def test_kinds_of_pose_are_drawn_by_their_shares(people):
    def spread(kind):
        person = people[0]
        angles = draw_poses(
            100, np.random.default_rng(2), person.axes, person.rest_angles, person.body.joints, kinds={kind: 1.0}
        )
        return np.degrees(angles[:, DOF_INDEX['pinky_mcp_abduction']] + angles[:, DOF_INDEX['index_mcp_abduction']])

    wide, plain, fist = spread('wide'), spread('open'), spread('fist')
    assert wide.mean() > plain.mean() + 15 > fist.mean() + 15


def test_posing_keeps_bone_lengths_and_leaves_the_skin_around_the_joints(people, poses):
    poser = Poser(people)
    person = people[1]
    posed, joints = poser.pose(person, poses[3], draw_arm(np.random.default_rng(0)), False)
    for a, b in ((0, 5), (5, 6), (6, 7), (7, 8), (1, 2), (3, 4)):
        rest = np.linalg.norm(person.body.joints[a] - person.body.joints[b])
        assert np.linalg.norm(joints[a] - joints[b]) == pytest.approx(rest, rel=1e-5)
    hand = posed[np.unique(poser.faces[poser.hand_faces])]
    assert np.linalg.norm(hand[None] - joints[:, None], axis=2).min(1).max() < 0.025


def test_the_hand_is_labeled_and_hides_what_is_behind(people, poses):
    scene, _ = posed_scene(people, poses)
    depth, labels = scene.render(200, 200, 300, 300, 99.5, 99.5)
    assert (labels == HAND).sum() > 500 and (depth[labels == 0] == EMPTY).all()
    wall = Scene(scene.joints, scene.meshes + [plane(np.array([0, 0, 0.3]), np.array([0, 0, -1.0]), 0.5)])
    assert (wall.render(200, 200, 300, 300, 99.5, 99.5)[1] == HAND).sum() == 0


@pytest.mark.parametrize('name', SENSORS)
def test_sensors_change_edges_more_than_surfaces_and_are_deterministic(name, people, poses):
    sensor = SENSORS[name]
    scene, _ = posed_scene(people, poses)
    ideal, _ = scene.render(200, 200, 300, 300, 99.5, 99.5)
    flaws = draw_weaknesses(sensor, np.random.default_rng(4))
    seen = sense(ideal, sensor, 300.0, flaws, 9)
    assert (seen == sense(ideal, sensor, 300.0, flaws, 9)).all() and (
        seen != sense(ideal, sensor, 300.0, flaws, 10)
    ).any()
    surface = ideal < 2
    kept = surface & (seen > 0)
    assert kept.sum() > 0.5 * surface.sum()
    assert np.median(np.abs(seen - ideal)[kept]) < 0.006
    assert seen[~surface].max(initial=0) < 3


STILL = Motion(
    pivot=(0.0, 0.0),
    turn=0.0,
    shift=(0.0, 0.0),
    approach=0.0,
    frequencies=(80e6, 120e6),
    starts=(-0.5, 0.0),
    exposure=1 / 6,
    offset=0.3,
    behind=0.5,
    rough=1.0,
    first=0.5,
    tolerance=0.1,
)


def test_what_does_not_move_is_pictured_as_it_is(people, poses):
    arm, rest = (part.render(200, 200, 300, 300, 99.5, 99.5)[0] for part in posed_scene(people, poses)[0].apart())
    rest[:, :90] = 1.5
    assert (expose(arm, rest, 300.0, STILL) == np.minimum(arm, rest)).all()


def bar(depth):
    """Ideal depth of a bar across an image, 31 pixels wide and so far from the camera, and of a wall behind it."""
    arm = np.full((5, 91), EMPTY, np.float32)
    arm[:, 30:61] = depth
    return arm, np.full_like(arm, 2.4)


def test_at_the_edges_of_what_moves_depth_is_anything_or_nothing():
    """A flat bar that moves by 8 pixels: itself in its middle, the wall beyond its edges, neither in between."""
    arm, wall = bar(0.6)
    seen = expose(arm, wall, 365.0, replace(STILL, shift=(8.0, 0.0), tolerance=1.0))
    assert seen[:, 35:56] == pytest.approx(0.6, abs=1e-6)
    assert seen[:, [*range(25), *range(66, 91)]] == pytest.approx(2.4)
    leading, trailing = seen[2, 56:66], seen[2, 25:35]
    for edge in leading, trailing:
        assert np.count_nonzero(np.abs(edge - 0.6) > 0.005) >= 4
    assert not np.allclose(leading, trailing[::-1], atol=0.01)
    # What the two frequencies disagree on is a hole.
    strict = expose(arm, wall, 365.0, replace(STILL, shift=(8.0, 0.0), tolerance=0.01))
    lost = strict == EMPTY
    assert lost.any() and not lost[:, 35:56].any() and (strict[~lost] == seen[~lost]).all()


def test_depth_slopes_across_a_round_finger_that_moves():
    """One way or the other, as it moves; a round bar at rest is as far away on both sides."""
    across = np.arange(-15, 16) * 0.6 / 365
    arm, wall = bar(0.6 + 0.03 - np.sqrt(0.03**2 - across**2))
    there, back = (expose(arm, wall, 365.0, replace(STILL, rough=0.2, shift=(shift, 0.0))) for shift in (3.0, -3.0))
    slopes = [np.polyfit(across[6:25], seen[2, 36:55], 1)[0] for seen in (arm, there, back)]
    assert slopes[0] == pytest.approx(0, abs=1e-3) and min(abs(slopes[1]), abs(slopes[2])) > 0.02
    assert np.sign(slopes[1]) == -np.sign(slopes[2])


def test_a_hand_moves_only_before_time_of_flight(people, poses):
    def pictures(moving, kind):
        names = [name for name, sensor in SENSORS.items() if (sensor.kind == TIME_OF_FLIGHT) == kind]
        return [
            draw_view_of_hand(Poser(people), pose, np.random.default_rng(i), moving=moving, sensors=names).depth
            for i, pose in enumerate(poses[:6])
        ]

    assert all(np.array_equal(a, b) for a, b in zip(pictures(0.0, False), pictures(1.0, False)))
    assert not any(np.array_equal(a, b) for a, b in zip(pictures(0.0, True), pictures(1.0, True)))


def test_crops_are_deterministic_and_their_labels_lie_on_the_hand(people):
    first, second = (next(CropSource(people, 3).batches(12)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second))
    crops, joints, halves = first
    assert crops.shape == (12, 96, 96) and joints.shape == (12, 21, 3) and crops.min() >= -1 and crops.max() <= 1

    def share_under_surface(joints):
        """Share of joints that lie under what their pixel shows, by half a hand's thickness at most."""
        shares = []
        for crop, joint, half in zip(crops, joints, halves):
            pixels = np.clip(((joint[:, :2] + 1) / 2 * 96).astype(int), 0, 95)
            under = (joint[:, 2] - crop[pixels[:, 1], pixels[:, 0]]) * half
            shares.append(np.mean((under > -0.006) & (under < 0.03)))
        return np.mean(shares)

    # Some joints are hidden by other fingers; of labels that were mirrored, far more would miss the hand.
    assert share_under_surface(joints) > 0.5
    assert share_under_surface(joints * (-1, 1, 1)) < share_under_surface(joints) - 0.15


def test_views_show_hands_of_the_right_side(people, poses):
    view = draw_view_of_hand(Poser(people), poses[0], np.random.default_rng(0))
    rest = people[0].body.joints
    chirality = [np.linalg.det(np.stack([j[5] - j[0], j[17] - j[0], j[1] - j[0]])) for j in (view.joints, rest)]
    assert np.sign(chirality[0]) == np.sign(chirality[1])


def test_the_depth_validation_set_is_the_one_that_the_published_figures_are_about():
    """Its first crops, on any processor: compared loosely, as others differ in the last bits."""
    crops, joints, halves = validation_sets.depth_pose().draw(16)
    assert (crops.astype(float).mean(), joints.mean(), joints.std(), halves.mean()) == pytest.approx(
        (0.6726, 0.0031, 0.2703, 0.1265), abs=1e-3
    )
    first = [
        [-0.1353, -0.5610, 0.4859],
        [0.6652, -0.1747, 0.1734],
        [0.2361, 0.5579, -0.4382],
        [-0.3055, 0.4215, -0.0264],
    ]
    assert joints[0, [0, 4, 8, 20]] == pytest.approx(np.array(first), abs=2e-3)


def test_a_person_is_pictured_elsewhere_than_at_the_hand(people, poses):
    """The part that was drawn is where it was to be, or something of the person before it; the head is up."""
    poser, position = Poser(people, other_hand=False), np.array([0.05, -0.03, 0.8])
    seen, far = [], []
    for i in range(12):
        scene = draw_elsewhere(poser, people[i % len(people)], poses[i], np.random.default_rng(i), position)
        depth, _ = scene.render(64, 64, 60.0, 60.0, 31.5 - 60 * 0.05 / 0.8, 31.5 + 60 * 0.03 / 0.8)
        seen.append(depth[31:33, 31:33].min())
        far.append(np.linalg.norm(hand_center(scene.joints) - position) > ABSENT_BEYOND)
    # A vertex may lie on a silhouette, between the pixels' centers.
    assert np.mean(np.array(seen) < 0.8 + 0.03) > 0.8
    assert np.mean(far) > 0.7


def test_the_refiners_crops_are_labeled_by_where_they_are(people):
    options = {'elsewhere': 0.6, 'proposed': 0.5, 'scattered': 0.5, 'kinds': {'fist': 1.0}}
    crops, labels = next(refiner_batches(people, 3, 96, **options))
    again, _ = next(refiner_batches(people, 3, 96, **options))
    assert crops.shape == (96, 64, 64) and np.array_equal(crops, again) and np.abs(crops).max() <= 1
    distances = REFINER_HALF * np.linalg.norm(labels[:, :3], axis=1)
    present = labels[:, 4]
    assert (present[distances > ABSENT_BEYOND] == 0).all() and (distances[present == 1] < PRESENT_WITHIN).all()
    # A hand beyond the picture is none, and one that its edge cuts is left open.
    assert (present[(crops == 1).all((1, 2))] == 0).all() and (present[distances < PRESENT_WITHIN] == 1).mean() > 0.6
    assert 0.1 < (present == 1).mean() < 0.7 and (present == 0).mean() > 0.25
    assert (labels[present == 1, 5] == 1).all() and (labels[present == 0, 5] == 0).all()


def test_what_is_no_hand_gets_holes_of_its_own():
    camera = Camera(80, 60, 70, 70, 39.5, 29.5)
    depth, labels = np.full((60, 80), 0.6, np.float32), np.zeros((60, 80), np.uint8)
    labels[20:40, 30:50] = HAND
    for seed in range(5):
        holed = absorb(depth, camera, labels, np.random.default_rng(seed))
        assert (holed[labels == HAND] == 0.6).all() and (depth == 0.6).all()
        assert 0 < (holed[labels != HAND] == 0).mean() < 0.7
    assert not absorb(np.zeros((60, 80), np.float32), camera, labels, np.random.default_rng(0)).any()


def test_what_is_no_hand_gets_noise_of_its_own():
    depth, labels = np.zeros((60, 80), np.float32), np.zeros((60, 80), np.uint8)
    depth[:, 20:60], labels[20:40, 30:50] = 0.6, HAND
    beside, spread = [], []
    for seed in range(12):
        noisy = scatter(depth, labels, np.random.default_rng(seed))
        assert (noisy[labels == HAND] == np.float32(0.6)).all() and depth[:, 20:60].min() == depth.max()
        assert noisy.min() >= 0 and noisy[noisy > 0].min() > 0.09
        beside.append((noisy[:, :20] > 0).any())
        spread.append(noisy[noisy > 0].std())
        surface = noisy[:, 20:60]
        moved = surface[(surface > 0) & (surface != np.float32(0.6))]
        assert not len(moved) or abs(np.median(moved) - 0.6) < 0.05, "a surface's noise is about the surface"
    assert np.mean(beside) > 0.3 and np.mean(np.array(spread) > 0.002) > 0.7
    assert not scatter(np.zeros((60, 80), np.float32), labels, np.random.default_rng(0)).any()
