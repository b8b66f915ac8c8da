"""Any hand model by the path that a user gives."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hand_pose_ros.hand_model.mano import load_mano
from hand_pose_ros.hand_model.model import HandModel, HandModelError, load_hand_model


def load_hand_models(path: str | Path = '') -> tuple[HandModel, ...]:
    """Read a hand model: one side, whose mirror image serves as the other, or both sides of a MANO folder.

    Args:
        path: a file of this package's format, a MANO ``.pkl`` or ``.npz``, or a folder with MANO's files; empty for
            the model that is shipped.

    Raises:
        HandModelError: there is no such file, or it cannot be used; the message names it.

    """
    if not str(path):
        return (load_hand_model(),)
    path = Path(path).expanduser()
    if path.is_dir():
        files = [next(iter(sorted(path.glob(f'MANO_{side}.[pn][kp][lz]'))), None) for side in ('RIGHT', 'LEFT')]
        found = tuple(load_mano(file) for file in files if file)
        if not found:
            raise HandModelError(f'{path}: no MANO_RIGHT.pkl, MANO_LEFT.pkl or .npz of these names in this folder')
        return found
    if path.suffix == '.pkl' or _holds_mano(path):
        return (load_mano(path),)
    return (load_hand_model(path),)


def _holds_mano(path: Path) -> bool:
    # Whatever is wrong with the file, its reader says it better.
    try:
        with zipfile.ZipFile(path) as archive:
            return 'v_template.npy' in archive.namelist()
    except Exception:
        return False
