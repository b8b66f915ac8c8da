"""The shipped models, as ``models/manifest.yaml`` describes them, and models of the user's own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hand_pose_ros.files import read_yaml, reading
from hand_pose_ros.inference.facts import read_facts
from hand_pose_ros.resources import resource_path
from hand_pose_ros.settings import AUTO

#: What the models in a folder are, beside them; ``python -m training export`` writes it.
MANIFEST = 'manifest.yaml'

POSE, CENTER, COLOR_POSE, DETECTOR = 'pose', 'center', 'color_pose', 'detector'


class ModelError(ValueError):
    """A model that is missing, damaged or not what is needed; the message names the file and what to do."""


@dataclass(frozen=True)
class Model:
    """A network ready to be opened by an engine.

    Attributes:
        name: in the manifest, or the file's name.
        path: of the ONNX file.
        task: ``pose`` (a hand's cube of depth to joints), ``center`` (refinement of a cube's center), ``color_pose`` (a
            hand's color crop to joints) or ``detector`` (hands in a color image).
        confidence: intercept and slope that turn the logarithm of a joint's sigma in mm into the log odds of
            an error below 10 mm, fitted on the validation set.
        presence: intercept and slope that turn the mean logarithm of the joints' sigma in hand sizes into the log odds
            that there is a hand; of networks for color crops.
        quantized: of the same network as an ONNX graph for int8, where there is one.

    """

    name: str
    path: Path
    task: str
    confidence: tuple[float, float] = (4.0, 2.0)
    presence: tuple[float, float] = (-6.0, 6.0)
    quantized: Path | None = None

    def joint_confidence(self, sigma_m: np.ndarray) -> np.ndarray:
        """Probability (21,) that joints are within 10 mm, by their expected errors (21,) in meters."""
        intercept, slope = self.confidence
        log_odds = intercept - slope * np.log(np.maximum(1000 * sigma_m, 1e-3))
        return (1 / (1 + np.exp(-log_odds))).astype(np.float32)

    def presence_of(self, sigma: np.ndarray) -> float:
        """Probability that there is a hand, by its joints' expected errors (21,) in hand sizes."""
        intercept, slope = self.presence
        return float(1 / (1 + np.exp(-(intercept - slope * float(np.log(sigma).mean())))))

    def file(self, precision: str) -> Path:
        """Return the ONNX file to load for a precision.

        Raises:
            ModelError: it is int8, and there is no quantized file.

        """
        if precision != 'int8':
            return self.path
        if self.quantized is None:
            raise ModelError(
                f'model {self.name} has no int8 version: make {quantized_path(self.path).name} with '
                f'`python -m training quantize`, or choose another precision'
            )
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
    with reading(path, ModelError, 'a manifest of models; restore it from the repository'):
        manifest = read_yaml(path)
    if not isinstance(manifest, dict) or not all(isinstance(entry, dict) for entry in manifest.values()):
        raise ModelError(f'{path} is damaged: it is not a table of models; restore it from the repository')
    return manifest


def find_model(name: str = AUTO, task: str = POSE) -> Model:
    """Find a model and check that its file is whole.

    Args:
        name: a name in the manifest, the path of an ``.onnx`` file, or ``auto`` for the task's default. What a file's
            network is for, and its calibration (``confidence``, ``presence``), are in the manifest beside it, in the
            shipped one where it is a copy of a shipped model, or in the file's own metadata.
        task: what the model must do; empty for anything.

    Raises:
        ModelError: there is no such model, it does something else, or its file is missing or damaged.

    """
    if name.endswith('.onnx'):
        path = Path(name).expanduser()
        if not path.is_file():
            raise ModelError(
                f'model file {path} does not exist; give an .onnx file, or a name from models/manifest.yaml'
            )
        with reading(path, ModelError, 'a network with a whole manifest'):
            return _own_model(path, task)
    manifest = read_manifest()
    fitting = {key: entry for key, entry in manifest.items() if task in ('', entry.get('task'))}
    if name in ('', AUTO):
        name = next((key for key, entry in fitting.items() if entry.get('default')), '')
    if name not in fitting:
        raise ModelError(
            f'there is no {task or ""} model {name!r}; models/manifest.yaml has: {", ".join(fitting) or "none"}'
        )
    entry = fitting[name]
    with reading(resource_path('models', MANIFEST), ModelError, f'a whole manifest: its entry {name} is damaged'):
        quantized = _whole_file(entry['int8']) if 'int8' in entry else None
        return _model(name, _whole_file(entry), entry.get('task', ''), entry, quantized)


def _own_model(path: Path, task: str) -> Model:
    """A model of the user's own, or a copy of a shipped one."""
    entry, eight_bit = _read_entry(path), quantized_path(path)
    if task and not entry:
        raise ModelError(
            f'model file {path}: nothing says what this network is for: there is neither a manifest.yaml with its '
            'sha256 beside it nor a note in the file; write it with `python -m training export`, or copy its '
            'manifest.yaml along'
        )
    if task and entry.get('task', task) != task:
        raise ModelError(f'model file {path} is for the task {entry["task"]}, and {task} is asked for')
    return _model(path.stem, path, task or entry.get('task', ''), entry, eight_bit if eight_bit.is_file() else None)


def choose_model(names: str, task: str, others: bool = False) -> Model:
    """Find the model of a task among names separated by commas, as the parameter ``model`` has them.

    Args:
        names: names or paths, see :func:`find_model`; ``auto`` for the task's default.
        task: what the model must do.
        others: models of other tasks may be among them, for other parts of the tracker.

    Raises:
        ModelError: there is no such model, it does something else, or its file is missing or damaged.

    """
    given = _given(names)
    fitting = [name for name in given if _task_of(name) in (task, '')]
    if len(given) > 1 and not others:
        raise ModelError(f'model {names!r}: only modality rgbd takes more than one')
    if not fitting and given and not others:
        return find_model(given[0], task)
    return find_model(fitting[0] if fitting else AUTO, task)


def models_by_accuracy(task: str) -> list[str]:
    """Name the shipped models of a task that ``auto`` may take, the most accurate first."""
    fitting = {name: entry for name, entry in read_manifest().items() if entry.get('task') == task}
    able = [name for name, entry in fitting.items() if entry.get('default') or entry.get('auto')]
    return sorted(able, key=lambda name: fitting[name].get('validation', {}).get('mean_mm', 0.0))


def _given(names: str) -> list[str]:
    return [name.strip() for name in names.split(',') if name.strip() not in ('', AUTO)]


def names_beyond_task(names: str, task: str) -> bool:
    """Whether any of names separated by commas is not known to be a model of a task."""
    return any(_task_of(name) != task for name in _given(names))


def _task_of(name: str) -> str:
    """Task of a model by its name or path; empty where nothing says."""
    if name.endswith('.onnx'):
        path = Path(name).expanduser()
        return str(_read_entry(path).get('task', '')) if path.is_file() else ''
    return str(read_manifest().get(name, {}).get('task', ''))


def _model(name: str, path: Path, task: str, entry: dict, quantized: Path | None) -> Model:
    pairs = {}
    for fact in ('confidence', 'presence'):
        value = entry.get(fact, getattr(Model, fact))
        if len(value) != 2 or not all(isinstance(x, (int, float)) and np.isfinite(x) for x in value):
            raise ModelError(f'model file {path}: its {fact} is {value!r}, and must be two numbers')
        pairs[fact] = (float(value[0]), float(value[1]))
    return Model(name, path, task, pairs['confidence'], pairs['presence'], quantized)


def _read_entry(path: Path) -> dict:
    """Return what is known of a file: by the manifest beside it, the one of the shipped models, or its own metadata.

    A manifest counts for the weights that it names only: those of a copy of a shipped model, whatever its name is now.
    """
    digest = file_digest(path)
    if path.with_name(MANIFEST).is_file():
        for entry in read_manifest(path.parent).values():
            if (entry.get('file'), entry.get('sha256')) == (path.name, digest):
                return entry
    for entry in read_manifest().values():
        if digest in (entry.get('sha256'), (entry.get('int8') or {}).get('sha256')):
            return entry
    return read_facts(path)


def _whole_file(entry: dict) -> Path:
    """Return the file that a manifest's entry names, checked."""
    path = resource_path('models') / entry['file']
    if not path.is_file():
        raise ModelError(f'model file {path} is missing; restore it with `git checkout -- models`, or install again')
    digest = file_digest(path)
    if digest != entry['sha256']:
        raise ModelError(
            f'model file {path} is damaged: its sha256 is {digest[:12]}..., the manifest says '
            f'{entry["sha256"][:12]}...; restore it with `git checkout -- models`, or install again'
        )
    return path
