"""Hands that move robots: retargeting, teleoperation and the safety of both, without ROS."""
