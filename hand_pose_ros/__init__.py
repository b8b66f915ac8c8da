"""Hand tracking for ROS 2: depth or colour images in; joints, TF frames and a hand mesh out."""

__version__ = '0.1.0'
