"""Settings of the nodes that move robots, declared once. Lengths in meters, angles in radians, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from hand_pose_ros.geometry.joints import SIDES
from hand_pose_ros.settings import Settings, setting

#: What lets commands through: the topic ``teleop/engage``, or a gesture of the person's other hand.
CLUTCHES = ('topic', 'gesture')
#: Kinds of commands to a robot hand, and to MoveIt Servo.
HAND_OUTPUTS = ('trajectory', 'joint_state', 'array')
SERVO_OUTPUTS = ('pose', 'twist')
GRIPPERS = ('none', 'trajectory', 'action')


@dataclass(frozen=True)
class SafetySettings(Settings):
    """When commands may be sent: the same for every node that moves a robot."""

    side: str = setting('right', "The person's hand that is followed.", choices=SIDES)
    clutch: str = setting(
        'topic',
        "What engages while it is held: true on teleop/engage, or a gesture of the person's other hand.",
        choices=CLUTCHES,
    )
    clutch_gesture: str = setting('fist', 'The gesture of the other hand that engages, with clutch: gesture.')
    engage_hold: float = setting(
        1.0, 'The clutch must be held for so long, the hand seen all the while, seconds.', low=0.0, high=10.0
    )
    engage_timeout: float = setting(
        0.0,
        'A true on teleop/engage counts for so long and must be repeated; 0: until a false, seconds.',
        low=0.0,
        high=10.0,
    )
    hold_after: float = setting(
        0.1, 'Without a fresh hand for so long nothing more is sent, seconds.', low=0.02, high=0.2
    )
    disengage_after: float = setting(
        0.25, 'Without a fresh hand for so long it disengages, seconds.', low=0.05, high=0.28
    )
    max_age: float = setting(
        0.3, 'A hand whose image is older moves nothing, seconds; 0: its age is not looked at.', low=0.0, high=10.0
    )
    ramp: float = setting(
        0.5, 'After it engaged, and after a gap, speeds rise from nothing for so long, seconds.', low=0.0, high=10.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hold_after >= self.disengage_after:
            raise ValueError(f'parameter hold_after: {self.hold_after} is not below disengage_after')


@dataclass(frozen=True)
class RetargetSettings(SafetySettings):
    """Settings of ``hand_retarget``."""

    config: str = setting(
        'angles', 'How the hand becomes joints of the robot: a YAML file, or the name of one in config/robots.'
    )
    urdf: str = setting(
        '',
        'Robot description: a URDF file, or robot_description for the topic of that name; empty for the one that '
        'config names.',
    )
    output: str = setting(
        'trajectory',
        'Kind of the commands: JointTrajectory, JointState or Float64MultiArray.',
        choices=HAND_OUTPUTS,
    )
    command_topic: str = setting(
        '',
        'Topic of the commands; empty for hand_controller/joint_trajectory, hand_controller/joint_commands or '
        'hand_controller/commands.',
    )
    point_time: float = setting(
        0.1, 'Time from start of the point of a trajectory: the robot is there after it, seconds.', low=0.01, high=5.0
    )
    max_speed: float = setting(
        6.0, 'No joint is moved faster, nor than the robot description says; radians a second.', low=0.01, high=100.0
    )
    feedback: bool = setting(
        True,
        'Start from where the robot is, by its joint_states, and send nothing before they came; without, from the '
        "description's zero.",
    )


@dataclass(frozen=True)
class TeleopSettings(SafetySettings):
    """Settings of ``hand_teleop``."""

    output: str = setting(
        'pose', 'Kind of the commands to MoveIt Servo: PoseStamped or TwistStamped.', choices=SERVO_OUTPUTS
    )
    servo: str = setting('servo_node', "Name of MoveIt Servo's node; commands go to topics below it.")
    target_frame: str = setting('base_link', 'Frame of the commands; the palm comes to it through TF.')
    tool_frame: str = setting('tool0', "The robot's frame that follows the palm, with output: pose.")
    scale: float = setting(1.0, "Meters that the robot moves for one of the palm's.", low=0.01, high=10.0)
    follow_rotation: bool = setting(True, 'Turn with the palm too.')
    dead_zone: float = setting(0.005, 'The palm moves nothing before it moved so far, meters.', low=0.0, high=0.2)
    dead_angle: float = setting(0.03, 'The palm turns nothing before it turned so far, radians.', low=0.0, high=1.0)
    max_speed: float = setting(0.25, 'The robot is moved no faster, meters a second.', low=0.001, high=5.0)
    max_turn: float = setting(1.0, 'The robot is turned no faster, radians a second.', low=0.001, high=20.0)
    x_min: float = setting(-1.0, 'Workspace: the box that commands stay in, in target_frame.', low=-100.0, high=100.0)
    x_max: float = setting(1.0, 'Workspace, its other end.', low=-100.0, high=100.0)
    y_min: float = setting(-1.0, 'Workspace, y.', low=-100.0, high=100.0)
    y_max: float = setting(1.0, 'Workspace, y.', low=-100.0, high=100.0)
    z_min: float = setting(0.05, 'Workspace, z.', low=-100.0, high=100.0)
    z_max: float = setting(1.5, 'Workspace, z.', low=-100.0, high=100.0)
    gripper: str = setting(
        'none',
        'What the pinch of thumb and index finger commands: a JointTrajectory, or the action ParallelGripperCommand.',
        choices=GRIPPERS,
    )
    gripper_topic: str = setting(
        '',
        'Topic or action of the gripper; empty for gripper_controller/joint_trajectory or '
        'gripper_controller/gripper_cmd.',
    )
    gripper_joint: str = setting('gripper_finger_joint', 'Joint of the gripper.')
    gripper_open: float = setting(0.04, 'Its position when open, meters or radians.', low=-10.0, high=10.0)
    gripper_closed: float = setting(0.0, 'Its position when closed.', low=-10.0, high=10.0)
    gripper_time: float = setting(0.3, 'Time that it takes to open or close, seconds.', low=0.01, high=10.0)
    pinch_closed: float = setting(
        0.25, 'It closes when the tips of thumb and index finger are closer, palm lengths.', low=0.0, high=2.0
    )
    pinch_open: float = setting(0.4, 'It opens again when they are further apart, palm lengths.', low=0.0, high=2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for low, high in (('x_min', 'x_max'), ('y_min', 'y_max'), ('z_min', 'z_max'), ('pinch_closed', 'pinch_open')):
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(f'parameter {low}: {getattr(self, low)} is not below {high} ({getattr(self, high)})')


@dataclass(frozen=True)
class HriSettings(Settings):
    """Settings of ``hand_hri``."""

    body_id: str = setting('', "Id of the person's body; empty for the one that the topic body_id says.")
