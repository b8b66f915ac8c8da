#!/usr/bin/env python3
"""A clutch: while this runs it is held, and when it ends, however that comes about, it is let go.

    python examples/clutch.py

Ctrl-C lets go. It repeats itself, so that with ``engage_timeout:=0.5`` a killed one counts as let go too. A pedal or a
button of your own does the same: true on ``teleop/engage`` while it is pressed, false when it is let go.
"""

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool

PERIOD = 0.1


class Clutch(Node):
    """Holds ``teleop/engage`` until it is let go."""

    def __init__(self, **options):
        super().__init__('clutch', **options)
        self._engage = self.create_publisher(Bool, 'teleop/engage', 10)
        self.create_timer(PERIOD, lambda: self._engage.publish(Bool(data=True)))

    def let_go(self):
        """Say so."""
        self._engage.publish(Bool(data=False))


def main():
    """Hold until Ctrl-C."""
    # Ctrl-C must not end ROS before the last message.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    clutch = Clutch()
    print('the clutch is held; Ctrl-C lets go')
    try:
        rclpy.spin(clutch)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        clutch.let_go()
        clutch.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
