"""Where the files that come with the package lie, and where what it finds out about a machine is cached."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource_path(*parts: str) -> Path:
    """Return the path of a file or folder that comes with the package, e.g. ``('models', 'manifest.yaml')``.

    It is looked for at the root of the checkout that the package runs from (pip's editable and colcon's symlink
    installs included), then in the ``share/hand_pose_ros`` of the installation that holds the package.

    Raises:
        FileNotFoundError: it is in neither; the message says where it was looked for and how to get it.

    """
    relative = Path(*parts)
    checkout = _PACKAGE.parent
    if (checkout / 'package.xml').is_file():
        if not (checkout / relative).exists():
            raise FileNotFoundError(
                f'{checkout / relative} is missing from the checkout: restore it with '
                f'`git checkout -- {relative}`, or clone the repository again'
            )
        return checkout / relative
    for parent in _PACKAGE.parents:
        path = parent / 'share' / _PACKAGE.name / relative
        if path.exists():
            return path
    raise FileNotFoundError(
        f'{relative} is missing from the installation of {_PACKAGE.name} that holds {_PACKAGE}: '
        'install the package again, by `colcon build` or `pip install .` in a complete checkout'
    )


def user_folder(variable: str, *below_home: str) -> Path | None:
    """Return a folder of the user's, which need not exist: what ``variable`` names, else one below the home.

    None where there is no home: a container may run as a user that its system does not know.
    """
    if named := os.environ.get(variable):
        return Path(named)
    try:
        return Path.home().joinpath(*below_home)
    except RuntimeError:
        return None


def cache_folder(name: str) -> Path | None:
    """Return a folder of the user's own for what can be found out again, or None where none can be written to.

    It is ``hand_pose_ros/<name>`` in ``XDG_CACHE_HOME``, by default ``~/.cache``; nobody else may read or write there,
    since compiled networks are loaded from it.
    """
    base = user_folder('XDG_CACHE_HOME', '.cache')
    if base is None:
        return None
    folder = base / _PACKAGE.name / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None
