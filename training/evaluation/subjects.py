"""Models that are evaluated: by their name in the manifest, or their file."""

from __future__ import annotations

from hand_pose_ros.inference.models import Model, ModelError, find_model, read_manifest
from training.registry import TrainingError, nearest


def open_subject(name: str, task: str = '') -> Model:
    """Find a model of any task, or of one.

    Raises:
        TrainingError: there is no such model.

    """
    manifest = read_manifest()
    try:
        if name in manifest or task:
            return find_model(name, task or manifest[name]['task'])
        if name.endswith('.onnx'):
            return _of_file(name)
    except ModelError as error:
        raise TrainingError(str(error)) from error
    raise TrainingError(f'there is no model {name!r}{nearest(name, manifest)}')


def _of_file(name: str) -> Model:
    """Find a file's model by the task that its outputs tell of."""
    import onnx

    from hand_pose_ros.inference.models import CENTER, COLOR_POSE, DETECTOR, POSE

    kinds = {'refinement': CENTER, 'cells': DETECTOR, 'points': COLOR_POSE, 'joints': POSE}
    model = find_model(name)
    outputs = [output.name for output in onnx.load(model.path, load_external_data=False).graph.output]
    kind = next((kinds[output] for output in kinds if output in outputs), POSE)
    return find_model(name, kind)
