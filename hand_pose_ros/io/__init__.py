"""Recordings in and out: folders of depth images, rosbag2, videos. Needs no ROS."""
