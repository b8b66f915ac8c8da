"""Other orders of the same 21 joints, and how to go from one to another."""

from __future__ import annotations

from hand_pose_ros.geometry.joints import FINGER_JOINTS, FINGERS, JOINTS, TIPS, WRIST

#: Names of the joints in the order of ETH's AIT lab: the wrist, then all knuckles, all next joints and so on.
AIT = (JOINTS[WRIST], *(JOINTS[FINGER_JOINTS[finger][level]] for level in range(4) for finger in FINGERS))

#: MANO's: bones finger by finger from the palm outwards, the thumb last, then the tips, thumb first, as in smplx.
MANO = (
    JOINTS[WRIST],
    *(JOINTS[joint] for finger in ('index', 'middle', 'pinky', 'ring', 'thumb') for joint in FINGER_JOINTS[finger][:3]),
    *(JOINTS[tip] for tip in TIPS),
)

#: Orders by name; FreiHAND's is that of this package.
ORDERS = {'freihand': JOINTS, 'ait': AIT, 'mano': MANO}


def index_map(source: str, target: str) -> tuple[int, ...]:
    """For each joint of order ``target`` its index in order ``source``: ``points[list(index_map(a, b))]``.

    Raises:
        ValueError: there is no order of that name.

    """
    for name in (source, target):
        if name not in ORDERS:
            raise ValueError(f'joint order {name!r} is not one of {", ".join(ORDERS)}')
    return tuple(ORDERS[source].index(joint) for joint in ORDERS[target])
