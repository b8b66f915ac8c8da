"""Where the files that come with the package lie: models, configuration, launch files, the demo clip."""

from __future__ import annotations

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
