"""The shipped models, as ``models/manifest.yaml`` describes them, and models of the user's own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import yaml

from hand_pose_ros.resources import resource_path

#: What the models in a folder are, beside them; ``training.export`` writes it.
MANIFEST = 'manifest.yaml'

POSE, CENTRE, RGB_POSE, DETECTOR = 'pose', 'centre', 'rgb_pose', 'detector'


class ModelError(ValueError):
    """A model that is missing, damaged or not what is needed; the message names the file and what to do."""


@dataclass(frozen=True)
class Model:
    """A network ready to be opened by an engine.

    Attributes:
        name: in the manifest, or the file's name.
        path: of the ONNX file.
        task: ``pose`` (a hand's cube of depth to joints), ``centre`` (refinement of a cube's centre), ``rgb_pose`` (a
            hand's colour crop to joints) or ``detector`` (hands in a colour image).
        confidence: intercept and slope that turn the logarithm of a joint's spread in mm into the log odds of
            an error below 10 mm, fitted on the validation set.
        presence: intercept and slope that turn the mean logarithm of the joints' spreads in hand sizes into the log odds
            that there is a hand; of networks for colour crops.
        quantized: of the same network as an ONNX graph for int8, where there is one.

    """

    name: str
    path: Path
    task: str
    confidence: tuple[float, float] = (4.0, 2.0)
    presence: tuple[float, float] = (-6.0, 6.0)
    quantized: Path | None = None

    def file(self, precision: str) -> Path:
        """Return the ONNX file to load for a precision.

        Raises:
            ModelError: it is int8, and there is no quantized file.

        """
        if precision != 'int8':
            return self.path
        if self.quantized is None:
            raise ModelError(f'model {self.name} has no int8 version: make {quantized_path(self.path).name} with '
                             f'`python -m training.quantize`, or choose another precision')
        return self.quantized


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, as the manifest has it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def quantized_path(path: Path) -> Path:
    """Return where a model's quantized version lies: ``name.int8.onnx`` beside ``name.onnx``."""
    return path.with_name(f'{path.stem}.int8.onnx')


def read_manifest(folder: Path | None = None) -> dict[str, dict]:
    """Read the manifest of the shipped models, or of those in a folder: model name -> its entry.

    Raises:
        ModelError: the manifest is missing or is not readable as one.

    """
    path = resource_path('models', MANIFEST) if folder is None else folder / MANIFEST
    try:
        manifest = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelError(f'{path} is damaged ({error}); restore it from the repository') from error
    if not isinstance(manifest, dict) or not all(isinstance(entry, dict) for entry in manifest.values()):
        raise ModelError(f'{path} is damaged: it is not a table of models; restore it from the repository')
    return manifest


def find_model(name: str = '', task: str = POSE) -> Model:
    """Find a model and check that its file is whole.

    Args:
        name: a name in the manifest, the path of an ``.onnx`` file, or empty for the task's default. A manifest beside
            the file tells how sure of itself this network is (``confidence``, ``presence``); without one, it is taken to
            be as most are.
        task: what the model must do.

    Raises:
        ModelError: there is no such model, it does something else, or its file is missing or damaged.

    """
    if name.endswith('.onnx'):
        path = Path(name).expanduser()
        if not path.is_file():
            raise ModelError(f'model file {path} does not exist; give an .onnx file, or a name from '
                             'models/manifest.yaml')
        entry, quantized = _entry_beside(path), quantized_path(path)
        if entry.get('task', task) != task:
            raise ModelError(f'model file {path} is for the task {entry["task"]}, and {task} is asked for')
        return _model(path.stem, path, task, entry, quantized if quantized.is_file() else None)
    manifest = read_manifest()
    fitting = {key: entry for key, entry in manifest.items() if entry.get('task') == task}
    if not name:
        name = next((key for key, entry in fitting.items() if entry.get('default')), '')
    if name not in fitting:
        raise ModelError(f'there is no {task} model {name!r}; models/manifest.yaml has: {", ".join(fitting) or "none"}')
    entry = fitting[name]
    quantized = _whole_file(entry['int8']) if 'int8' in entry else None
    return _model(name, _whole_file(entry), task, entry, quantized)


def _model(name: str, path: Path, task: str, entry: dict, quantized: Path | None) -> Model:
    return Model(name, path, task, tuple(entry.get('confidence', Model.confidence)),
                 tuple(entry.get('presence', Model.presence)), quantized)


def _entry_beside(path: Path) -> dict:
    """Return what a manifest in a file's folder says of it: nothing where there is none, or it is of other weights."""
    if not path.with_name(MANIFEST).is_file():
        return {}
    digest = file_digest(path)
    return next((entry for entry in read_manifest(path.parent).values()
                 if (entry.get('file'), entry.get('sha256')) == (path.name, digest)), {})


def _whole_file(entry: dict) -> Path:
    """Return the file that a manifest's entry names, checked."""
    path = resource_path('models') / entry['file']
    if not path.is_file():
        raise ModelError(f'model file {path} is missing; restore it with `git checkout -- models`, or install again')
    digest = file_digest(path)
    if digest != entry['sha256']:
        raise ModelError(f'model file {path} is damaged: its sha256 is {digest[:12]}..., the manifest says '
                         f'{entry["sha256"][:12]}...; restore it with `git checkout -- models`, or install again')
    return path
