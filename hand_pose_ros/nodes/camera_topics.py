"""The topics of a camera, as a node is remapped."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node

from hand_pose_ros import topics


@dataclass(frozen=True)
class CameraTopics:
    """Full names of the topics that a camera sends, and that a tracker reads.

    Attributes:
        image: depth, or color for ``color`` and ``rgbd``; its pace is the tracker's.
        info: the CameraInfo of ``image``.
        depth: depth registered to color, for ``rgbd``; empty else.

    """

    image: str
    info: str
    depth: str

    @staticmethod
    def of(node: Node, modality: str, transport: str) -> CameraTopics:
        """The topics of a modality, remapped as ``node`` is; image transport's suffix goes behind the remapped name.

        Where only the image is remapped, its CameraInfo is the one beside it, as ROS has it.
        """
        image, info = topics.inputs(modality)
        named_image, named_info = node.resolve_topic_name(image), node.resolve_topic_name(info)
        default_image, default_info = (node.resolve_topic_name(name, only_expand=True) for name in (image, info))
        if named_image != default_image and named_info == default_info:
            named_info = f'{named_image.rpartition("/")[0]}/camera_info'
        depth = topics.transported_topic(
            node.resolve_topic_name(topics.DEPTH_IMAGE), topics.registered_depth_transport(transport)
        )
        return CameraTopics(
            topics.transported_topic(named_image, transport),
            named_info,
            depth if modality == 'rgbd' else '',
        )
