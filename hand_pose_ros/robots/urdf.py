"""The hand model as a URDF: one joint an angle, named as in ``joint_states``, and a mesh a bone.

Its links have names of their own, ``<side>_hand_model_*``, and its root hangs on the tracker's ``<side>_hand_wrist``,
so that a robot_state_publisher fed with ``hands/<side>/joint_states`` poses it on the hand that is seen.
"""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from hand_pose_ros.geometry.joints import JOINTS, PARENTS, hand_size
from hand_pose_ros.geometry.rotations import axis_angle_to_matrix
from hand_pose_ros.hand_model.kinematics import BONE_JOINTS, BONE_PARENTS, DEGREES_OF_FREEDOM, DegreeOfFreedom
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.robots.description import matrix_to_rpy
from hand_pose_ros.topics import joint_frame

#: What a URDF must say of a joint's effort and speed, N m and radians a second: more than fingers have.
_EFFORT, _VELOCITY = 10.0, 20.0
_KINDS = ('flexion', 'abduction', 'roll')
_SKIN = '0.87 0.68 0.57 1'


def write_hand_urdf(folder: Path, model: HandModel, size: float | None = None) -> Path:
    """Write ``<side>_hand.urdf`` and its meshes, ``<side>_hand_meshes/*.stl``, into a folder, which is made.

    Args:
        folder: where to.
        model: the hand, of the side that is written.
        size: palm length that it is scaled to, meters; its own by default.

    Returns:
        The URDF's path.

    """
    scale = 1.0 if size is None else size / hand_size(model.joints)
    robot = ElementTree.Element('robot', name=f'{model.side}_hand_model')
    material = ElementTree.SubElement(robot, 'material', name='hand_model_skin')
    ElementTree.SubElement(material, 'color', rgba=_SKIN)
    meshes = folder.resolve() / f'{model.side}_hand_meshes'
    meshes.mkdir(parents=True, exist_ok=True)
    ElementTree.SubElement(robot, 'link', name=joint_frame(model.side, 'wrist'))
    _add_joint(robot, 'fixed', f'{model.side}_hand_model_root', joint_frame(model.side, 'wrist'), _link(model, 'wrist'))
    for bone, joint in enumerate(BONE_JOINTS):
        if bone:
            _add_angles(robot, model, bone, scale)
        mesh = meshes / f'{JOINTS[joint]}.stl'
        mesh.write_bytes(_binary_stl(_bone_mesh(model, bone) * scale))
        _add_link(robot, _link(model, JOINTS[joint]), mesh.as_uri())
        tip = joint + 1
        if tip < len(JOINTS) and JOINTS[tip].endswith('_tip'):
            shift = model.frames[bone].T @ (model.joints[tip] - model.joints[joint]) * scale
            parent, child = _link(model, JOINTS[joint]), _link(model, JOINTS[tip])
            _add_joint(robot, 'fixed', f'{child}_end', parent, child, xyz=shift)
            ElementTree.SubElement(robot, 'link', name=child)
    ElementTree.indent(robot)
    path = folder / f'{model.side}_hand.urdf'
    path.write_text('<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding='unicode') + '\n')
    return path


def _link(model: HandModel, name: str) -> str:
    return f'{model.side}_hand_model_{name}'


def _add_angles(robot: ElementTree.Element, model: HandModel, bone: int, scale: float) -> None:
    """The joints of one bone: flexion carries abduction carries roll, as ``kinematics.local_rotations`` multiplies."""
    joint = BONE_JOINTS[bone]
    before = model.frames[BONE_PARENTS[bone]]
    parent = _link(model, JOINTS[PARENTS[joint]])
    xyz = before.T @ (model.joints[joint] - model.joints[PARENTS[joint]]) * scale
    rotation = before.T @ model.frames[bone]
    angles = [(index, dof) for index, dof in enumerate(DEGREES_OF_FREEDOM) if dof.bone == bone]
    for index, dof in sorted(angles, key=lambda pair: _KINDS.index(pair[1].kind)):
        axis = model.frames[bone].T @ model.axes[bone, _KINDS.index(dof.kind)]
        # The mesh is of the rest pose: at the angle that it has there, nothing is turned.
        rotation = rotation @ axis_angle_to_matrix(axis, -model.rest_angles[index])
        last = dof is angles[-1][1]
        child = _link(model, JOINTS[joint] if last else dof.name)
        name = f'{model.side}_{dof.name}'
        _add_joint(robot, 'revolute', name, parent, child, xyz=xyz, rotation=rotation, axis=axis, dof=dof)
        if not last:
            ElementTree.SubElement(robot, 'link', name=child)
        parent, xyz, rotation = child, np.zeros(3), np.eye(3)


def _add_joint(
    robot: ElementTree.Element,
    kind: str,
    name: str,
    parent: str,
    child: str,
    *,
    xyz: np.ndarray | None = None,
    rotation: np.ndarray | None = None,
    axis: np.ndarray | None = None,
    dof: DegreeOfFreedom | None = None,
) -> None:
    element = ElementTree.SubElement(robot, 'joint', name=name, type=kind)
    ElementTree.SubElement(element, 'parent', link=parent)
    ElementTree.SubElement(element, 'child', link=child)
    rpy = matrix_to_rpy(np.eye(3) if rotation is None else rotation)
    ElementTree.SubElement(element, 'origin', xyz=_text(np.zeros(3) if xyz is None else xyz), rpy=_text(rpy))
    if axis is not None and dof is not None:
        ElementTree.SubElement(element, 'axis', xyz=_text(axis))
        limit = ElementTree.SubElement(element, 'limit', lower=f'{dof.low:.6g}', upper=f'{dof.high:.6g}')
        limit.attrib |= {'effort': f'{_EFFORT:g}', 'velocity': f'{_VELOCITY:g}'}


def _add_link(robot: ElementTree.Element, name: str, mesh: str) -> None:
    visual = ElementTree.SubElement(ElementTree.SubElement(robot, 'link', name=name), 'visual')
    ElementTree.SubElement(ElementTree.SubElement(visual, 'geometry'), 'mesh', filename=mesh)
    ElementTree.SubElement(visual, 'material', name='hand_model_skin')


def _text(numbers: np.ndarray) -> str:
    return ' '.join(f'{number:.8g}' for number in np.where(np.abs(numbers) < 1e-9, 0.0, numbers).tolist())


def _bone_mesh(model: HandModel, bone: int) -> np.ndarray:
    """Triangles (F, 3, 3) of the mesh at rest that belong to a bone most of all, in its frame, from its joint."""
    owners = model.weights[model.faces].sum(1).argmax(1)
    points = (model.vertices - model.joints[BONE_JOINTS[bone]]) @ model.frames[bone]
    return points[model.faces[owners == bone]]


def _binary_stl(triangles: np.ndarray) -> bytes:
    """Triangles (F, 3, 3) as a binary STL file."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    records = np.zeros(len(triangles), np.dtype([('numbers', '<f4', (4, 3)), ('attributes', '<u2')]))
    records['numbers'][:, 0], records['numbers'][:, 1:] = normals, triangles
    return b'\0' * 80 + struct.pack('<I', len(triangles)) + records.tobytes()
