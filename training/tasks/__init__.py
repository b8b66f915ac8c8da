"""Tasks by name; :class:`training.tasks.protocol.Task` says what one is."""

from __future__ import annotations

from training.registry import Registry
from training.tasks.protocol import Task

TASKS: Registry[Task] = Registry(
    'task',
    {
        'depth_pose': 'training.tasks.depth_pose',
        'depth_benchmark': 'training.tasks.depth_benchmark',
        'center': 'training.tasks.center',
        'color_pose': 'training.tasks.color_pose',
        'dense_pose': 'training.tasks.dense_pose',
        'color_detector': 'training.tasks.color_detector',
    },
)
