"""Following hands from frame to frame. No ROS here."""
