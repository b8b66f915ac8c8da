"""What a network has to have to be trained, exported and run by the tracker."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

#: Names of a depth pose network's outputs in its ONNX file, in the order of what ``forward`` returns. Shipped files
#: have them: ``spread`` is a joint's sigma, ``right`` the logit of the handedness.
POSE_OUTPUTS = ('joints', 'spread', 'right')


class Network(Protocol):
    """A ``torch.nn.Module`` class whose constructor takes the recipe's ``network_options``.

    Its task (:mod:`training.tasks`) says what goes in and what comes out. Besides the members below it may have:

    * ``input_channels``: of the image; 1 without it.
    * ``outputs``: names of what ``forward`` returns in the ONNX file; ``POSE_OUTPUTS`` without it.
    * ``loss(*inputs, *, option=default, ...) -> Tensor``: of what the task's ``network_input`` gives; its keyword-only
      parameters are the recipe's ``loss_options``. Without it, the task's own ``loss`` trains the network.
    * ``initialize(poses)``: sets a prior from (N, J, 3) training poses, before the first step.
    * ``forward_stages``: what ``compile: true`` compiles; ``forward`` without it.
    * ``check_options(options)``: a class method that raises TrainingError for options that do not go together.
    * ``backbone``, ``chirality``, ``certainty``: modules that other trainings take over or train afterwards, see
      :mod:`training.engine.weights` and :mod:`training.engine.heads`.

    Attributes:
        input_size: pixels along a side of the image; the data source's ``size`` has to be the same.

    """

    input_size: int

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Outputs for images (B, C, S, S) in [-1, 1], each (B, ...)."""
        ...
