"""Networks by name; :class:`training.networks.protocol.Network` says what one is."""

from __future__ import annotations

from training.networks.protocol import Network
from training.registry import Registry

NETWORKS: Registry[type[Network]] = Registry(
    'network',
    {
        'jgr_p2o': 'training.networks.jgr_p2o:JGRP2O',
        'offset_hourglass': 'training.networks.offset_hourglass:OffsetHourglass',
        'srn': 'training.networks.srn:SRN',
        'residual_attention': 'training.networks.residual_attention:ResidualAttention',
        'center_refiner': 'training.networks.center_refiner:CenterRefiner',
        'color_regression': 'training.networks.color_regression:ColorRegression',
        'dense_hand': 'training.networks.dense_color:DenseHand',
        'color_detector': 'training.networks.color_detector:HandDetector',
    },
)
