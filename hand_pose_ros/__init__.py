"""Hand tracking for ROS 2: depth or color images in; joints, TF frames and a hand mesh out."""

import os

__version__ = '0.1.0'

# Before anything imports numpy: its matrices here are small, and threads for them take longer than they save; where
# other programs keep the cores busy, many times as long.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
