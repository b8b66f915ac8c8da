"""From a camera frame to tracked hands. Pure Python and numpy: no ROS here."""
