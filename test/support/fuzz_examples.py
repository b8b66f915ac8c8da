"""An example for every reader of the package, and how each is read: what `test/fuzz.py` mutates."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from fuzz import ROOT, Target

from hand_pose_ros.evaluation.metrics import read_metrics
from hand_pose_ros.evaluation.score_files import ScoreOptions, score_joints, score_meshes
from hand_pose_ros.evaluation.truth import FileTruth
from hand_pose_ros.geometry.calibration import read_calibration
from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import JOINTS
from hand_pose_ros.gestures.library import read_library
from hand_pose_ros.hand_model.loading import load_hand_models
from hand_pose_ros.imaging.compressed import decode_color, decode_compressed, encode_depth
from hand_pose_ros.inference.models import find_model, read_manifest
from hand_pose_ros.io.bag_writer import write_bag
from hand_pose_ros.io.benchmarks import find_benchmark
from hand_pose_ros.io.frame import RecordedFrame
from hand_pose_ros.io.labels import read_labels, read_mask
from hand_pose_ros.io.outputs import iterate_outputs
from hand_pose_ros.io.recording import open_recording
from hand_pose_ros.robots.description import read_description
from hand_pose_ros.robots.retargeting import load_config, make_retargeting

CAMERA = Camera(64, 48, 80.0, 80.0, 31.5, 23.5)


def _joints(frames: int = 2) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.uniform(-80, 80, (frames, len(JOINTS), 3)) + (0, 0, 500)


def _result(frame: int, joints: np.ndarray) -> str:
    hand = {
        'side': 'right',
        'score': 0.9,
        'track': 1,
        'joints': (joints / 1000).round(4).tolist(),
        'confidence': [0.9] * 21,
    }
    return json.dumps({'frame': f'{frame}', 'hands': [hand]})


def _scored(folder: Path) -> Callable[[Path], object]:
    """Scores a file against a true one, with every alignment: beyond its reader, what is done with its numbers."""
    truth = folder / 'truth.npy'
    np.save(truth, _joints())

    def score(path: Path) -> object:
        read_labels(path)
        return score_joints(find_benchmark('msra'), str(truth), {'a': str(path)}, ScoreOptions(align='scale'))

    return score


def _labels(folder: Path) -> list[Target]:
    joints, read = _joints(), _scored(folder)
    np.savez_compressed(folder / 'a.npz', joints=joints)
    np.save(folder / 'a.npy', joints)
    lines = '\n'.join(_result(n, one) for n, one in enumerate(joints)) + '\n'
    text = '\n'.join(' '.join(f'{x:.1f}' for x in one.ravel()) for one in joints)

    def meshes(path: Path) -> object:
        return score_meshes(str(folder / 'a.npy'), str(path))

    def truth(path: Path) -> object:
        frame = RecordedFrame('0', 0, '', CAMERA)
        return FileTruth(path).hands(frame)

    return [
        Target('labels text', text.encode(), read, '.txt', text=True),
        Target('labels json', json.dumps(joints.round(1).tolist()).encode(), read, '.json', text=True),
        Target('labels jsonl', lines.encode(), read, '.jsonl', text=True),
        Target('labels npy', (folder / 'a.npy').read_bytes(), read, '.npy'),
        Target('labels npz', (folder / 'a.npz').read_bytes(), read, '.npz'),
        Target('vertices json', json.dumps(joints.round(1).tolist()).encode(), meshes, '.json', text=True),
        Target('truth', lines.encode(), truth, '.jsonl', text=True),
    ]


def _metrics() -> bytes:
    curve = [0.1, 0.2]
    run = {
        'model': 'a', 'frames': 2, 'mean_joint_error_mm': 9.5, 'jitter_mm': None, 'losses': 1,
        'per_joint_error_mm': {'wrist': 1.0}, 'gestures': {'fist': {'hands': 1, 'same_percent': 50.0}},
        'curves': {'threshold_mm': curve, 'hands_by_worst_joint': curve, 'hands_by_mean_joint': curve, 'joints': curve},
    }  # fmt: skip
    return json.dumps({'run': run}, indent=1).encode()


def _calibrations(info: dict) -> list[tuple[str, str, bytes]]:
    """The other forms that calibrations come in: what they are called, suffix and text."""
    matrix = np.array(info['camera_matrix']['data']).reshape(3, 3)
    echoed = {'header': {'frame_id': 'a'}, 'height': 480, 'width': 640, 'distortion_model': 'plumb_bob', 'd': [0.1] * 5}
    echoed |= {'k': matrix.ravel().tolist(), 'p': [1.0] * 12, 'binning_x': 0, 'roi': {'x_offset': 0}}
    kalibr = {'cam0': {'camera_model': 'pinhole', 'intrinsics': [500.0, 500.0, 320.0, 240.0], 'resolution': [640, 480]}}
    kalibr['cam0'] |= {'distortion_model': 'radtan', 'distortion_coeffs': [0.1, 0.0, 0.0, 0.0]}
    open3d = {'width': 640, 'height': 480, 'intrinsic_matrix': matrix.T.ravel().tolist()}
    storage = cv2.FileStorage('.yaml', cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY)
    storage.write('image_width', 640)
    storage.write('image_height', 480)
    storage.write('camera_matrix', matrix)
    storage.write('distortion_coefficients', np.zeros((1, 5)))
    return [
        ('echo', '.yaml', yaml.safe_dump(echoed).encode() + b'---\n'),
        ('kalibr', '.yaml', yaml.safe_dump(kalibr).encode()),
        ('open3d', '.json', json.dumps(open3d).encode()),
        ('opencv', '.yaml', storage.releaseAndGetString().encode()),
    ]


def _settings(folder: Path) -> list[Target]:
    info = {
        'image_width': 640, 'image_height': 480, 'distortion_model': 'plumb_bob',
        'camera_matrix': {'rows': 3, 'cols': 3, 'data': [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]},
        'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': [0.1, -0.2, 0.0, 0.0, 0.0]},
    }  # fmt: skip
    urdf = ROOT / 'demo/robot_hand/robot_hand.urdf'
    description = read_description(urdf)

    def retarget(path: Path) -> object:
        config = load_config(path)
        return make_retargeting(config, description, urdf)

    def camera(path: Path) -> object:
        return read_calibration(path).whole().project(np.array([[0.0, 0.0, 1.0]]))

    def describe(path: Path) -> object:
        return read_description(path).link_poses({})

    manifest = folder / 'models'
    manifest.mkdir()

    def models(path: Path) -> object:
        (manifest / 'manifest.yaml').write_bytes(path.read_bytes())
        (manifest / 'srn.onnx').write_bytes(b'')
        read_manifest(manifest)
        return find_model(str(manifest / 'srn.onnx'))

    entry = {
        'a': {'task': 'pose', 'file': 'srn.onnx', 'sha256': hashlib.sha256(b'').hexdigest(),
              'confidence': [4.0, 2.0], 'presence': [-6.0, 6.0], 'default': True}
    }  # fmt: skip
    found = [
        *(Target(f'camera {kind}', text, camera, suffix, text=True) for kind, suffix, text in _calibrations(info)),
        Target('gestures', (ROOT / 'config/gestures.yaml').read_bytes(), read_library, '.yaml', text=True),
        Target('camera yaml', yaml.safe_dump(info).encode(), camera, '.yaml', text=True),
        Target('manifest', yaml.safe_dump(entry).encode(), models, '.yaml', text=True),
        Target('metrics', _metrics(), read_metrics, '.json', text=True),
        Target('urdf', urdf.read_bytes(), describe, '.urdf', text=True),
    ]
    for config in sorted((ROOT / 'config/robots').glob('*.yaml')):
        found.append(Target(f'retargeting {config.stem}', config.read_bytes(), retarget, '.yaml', text=True))
    return found


def _hand_models(folder: Path) -> list[Target]:
    from synthetic_mano import mano_arrays, write_mano

    with pytest.MonkeyPatch.context() as patch:
        write_mano(folder / 'MANO_RIGHT.pkl', mano_arrays('right'), patch)
    write = folder / 'written'
    write.mkdir()

    def mano(path: Path) -> object:
        (write / 'MANO_RIGHT.pkl').write_bytes(path.read_bytes())
        return load_hand_models(write / 'MANO_RIGHT.pkl')

    return [
        Target('hand model', (ROOT / 'models/hand_model.npz').read_bytes(), load_hand_models, '.npz'),
        Target('mano pickle', (folder / 'MANO_RIGHT.pkl').read_bytes(), mano, '.pkl'),
    ]


def _rvl(depth: np.ndarray) -> bytes:
    """RVL of an image without holes: one run, each depth of which is its difference from the one before."""
    steps = np.diff(depth.ravel().astype(int), prepend=0)
    numbers = [0, depth.size, *((steps << 1) ^ (steps >> 31)).tolist()]
    groups = []
    for number in numbers:
        while True:
            groups.append(number & 7 | (8 if number >> 3 else 0))
            number >>= 3
            if not number:
                break
    groups += [0] * (-len(groups) % 8)
    words = [
        sum(group << (28 - 4 * n) for n, group in enumerate(groups[at : at + 8])) for at in range(0, len(groups), 8)
    ]
    return bytes(12) + np.array(depth.shape[::-1], '<i4').tobytes() + np.array(words, '<u4').tobytes()


def _images() -> list[Target]:
    rng = np.random.default_rng(2)
    depth = rng.integers(400, 900, (48, 64)).astype(np.uint16)
    color = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)

    def encoded(suffix: str, image: np.ndarray) -> bytes:
        return cv2.imencode(suffix, image)[1].tobytes()

    def message(form: str) -> Callable[[Path], object]:
        return lambda path: decode_compressed(form, path.read_bytes())

    found = [
        Target(f'color {suffix}', encoded(suffix, color), lambda path: decode_color(path.read_bytes()), suffix)
        for suffix in ('.png', '.jpg', '.tiff', '.webp', '.bmp')
    ]
    form, data = encode_depth(depth)
    float_form, float_data = encode_depth(depth.astype(np.float32) / 1000)
    return [
        *found,
        Target('mask', encoded('.png', color[..., 0]), read_mask, '.png'),
        Target('compressed depth', data, message(form), '.bin'),
        Target('compressed float depth', float_data, message(float_form), '.bin'),
        Target('compressed rvl', _rvl(depth), message('16UC1; compressedDepth rvl'), '.bin'),
        Target('depth png', encoded('.png', depth), message('16UC1'), '.png'),
    ]


def _recordings(folder: Path) -> list[Target]:
    rng = np.random.default_rng(3)
    frames = [(n / 30, rng.integers(400, 900, (48, 64)).astype(np.uint16)) for n in range(3)]
    hands = {'right': [(n / 30, one / 1000) for n, one in enumerate(_joints(3))]}

    def read(path: Path) -> object:
        list(iterate_outputs(path))
        return [frame.camera_frame() for frame in open_recording(path)]

    found = []
    for storage, suffix in (('mcap', '.mcap'), ('sqlite3', '.db3')):
        bag = folder / storage
        write_bag(bag, frames, CAMERA, joints=hands, storage=storage)
        (file,) = bag.glob(f'*{suffix}')
        found.append(Target(f'bag {storage}', file.read_bytes(), read, suffix))
    metadata = (bag / 'metadata.yaml').read_bytes()

    def folder_of(path: Path) -> object:
        (bag / 'metadata.yaml').write_bytes(path.read_bytes())
        return read(bag)

    found.append(Target('bag metadata', metadata, folder_of, '.yaml', text=True))
    pictures = folder / 'pictures'
    pictures.mkdir()

    def picture(path: Path) -> object:
        (pictures / '0.png').write_bytes(path.read_bytes())
        return [frame.depth for frame in open_recording(pictures, CAMERA)]

    found.append(Target('folder of depth', cv2.imencode('.png', frames[0][1])[1].tobytes(), picture, '.png'))
    return found


def targets() -> list[Target]:
    """Every reader with an example; examples lie in a folder that lives as long as the process."""
    global _FOLDER
    _FOLDER = tempfile.TemporaryDirectory()
    folder = Path(_FOLDER.name)
    return [*_labels(folder), *_settings(folder), *_hand_models(folder), *_images(), *_recordings(folder)]
