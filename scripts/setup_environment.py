"""Makes .venv, with everything that the package, its tests and (on request) its training need.

Where no ROS is sourced, ROS 2 comes from pip, and overlay/tf2_msgs is built against it and installed beside it.
Where ROS is sourced, .venv sees the distribution's packages and only gets what they lack; nothing of the
distribution is replaced. Every step leaves a key of what it installed in .venv, and is skipped while that holds.
Needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATE = 'hand_pose_ros.json'
OLDEST, NEWEST = (3, 10), (3, 14)
#: Modules that ROS and apt provide through the keys of package.xml, without which the nodes do not run.
DISTRIBUTION_MODULES = (
    'rclpy',
    'builtin_interfaces',
    'diagnostic_msgs',
    'geometry_msgs',
    'lifecycle_msgs',
    'rcl_interfaces',
    'sensor_msgs',
    'std_msgs',
    'tf2_msgs',
    'visualization_msgs',
    'numpy',
    'cv2',
    'yaml',
    'transforms3d',
    'pytest',
    'hypothesis',
)


class SetupError(Exception):
    """Set-up cannot go on; the message says why and what to do."""


def sourced_ros(environment: dict) -> str:
    """Return the name of the ROS distribution that this environment has sourced, or an empty string."""
    return environment.get('ROS_DISTRO', '') if environment.get('AMENT_PREFIX_PATH') else ''


def digest(paths: list, *facts: str) -> str:
    """Return a key of the files at ``paths`` (folders with all they hold) and of ``facts``."""
    sha = hashlib.sha256('\0'.join(facts).encode())
    for path in paths:
        for file in sorted(path.rglob('*')) if path.is_dir() else [path]:
            if file.is_file():
                sha.update(file.relative_to(ROOT).as_posix().encode() + b'\0' + file.read_bytes())
    return sha.hexdigest()


def run(command: list, environment: dict | None = None) -> None:
    """Run a command quietly; when it fails, show the end of what it said.

    Raises:
        SetupError: it failed.

    """
    result = subprocess.run(
        [str(part) for part in command],
        env=environment,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if result.returncode:
        tail = '\n'.join(result.stdout.splitlines()[-30:])
        raise SetupError(f'{tail}\n\nfailed ({result.returncode}): {" ".join(str(part) for part in command)}')


def answers(python: str, code: str) -> str | None:
    """Return what ``code`` prints in another Python, or None where that fails."""
    result = subprocess.run([python, '-c', code], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return result.stdout.strip() if result.returncode == 0 else None


def choose_python(ros: str) -> str:
    """Return the interpreter to base .venv on: this one, or with ROS sourced, the first that imports rclpy.

    Raises:
        SetupError: its version is not supported, or no interpreter can import the sourced rclpy.

    """
    python = getattr(sys, '_base_executable', sys.executable)
    if ros:
        candidates = dict.fromkeys([python, shutil.which('python3') or python, '/usr/bin/python3'])
        python = next((each for each in candidates if Path(each).exists() and answers(each, 'import rclpy') == ''), '')
        if not python:
            raise SetupError(
                f'ROS {ros} is sourced, but none of {", ".join(candidates)} can import its rclpy. Name '
                'the Python that ROS was built for, e.g. `make setup PYTHON=/usr/bin/python3`, and '
                f'check that ros-{ros}-rclpy is installed'
            )
    found = answers(python, 'import sys; print(*sys.version_info[:2])')
    version = tuple(int(part) for part in found.split()) if found else (0, 0)
    if not OLDEST <= version <= NEWEST:
        raise SetupError(
            'Python {}.{} at {} is not supported: name one from {}.{} to {}.{}, e.g. '
            '`make setup PYTHON=python3.12`'.format(*version, python, *OLDEST, *NEWEST)
        )
    return python


class Environment:
    """The virtual environment and the keys of what was installed into it."""

    def __init__(self, folder: Path, python: str, ros: str) -> None:
        self.folder, self.base, self.ros = folder, python, ros
        self.changed = False
        self.python = folder / 'bin' / 'python'
        code = 'import platform, sys; print(platform.python_version(), sys.base_prefix)'
        self.facts = (answers(python, code) or '', ros)
        self.ours = (folder / STATE).is_file()
        try:
            self.state = json.loads((folder / STATE).read_text())
        except (OSError, ValueError):
            self.state = {}

    def step(self, name: str, title: str, key: str, action) -> None:
        """Run ``action`` unless the step has this key already; remember the key when it is done."""
        if self.state.get(name) == key:
            return
        start = time.monotonic()
        print(f'{title} ...', flush=True)
        self.changed = True
        if self.state.pop(name, None):
            self.save()
        action()
        self.state[name] = key
        self.save()
        print(f'    done in {time.monotonic() - start:.0f} s', flush=True)

    def save(self) -> None:
        """Keep the keys in the environment."""
        (self.folder / STATE).write_text(json.dumps(self.state, indent=2) + '\n')

    def create(self) -> None:
        """Make the environment from nothing; one of ours for another Python or another ROS is replaced.

        Raises:
            SetupError: the folder holds something that is not ours, or the environment cannot be made.

        """
        if not self.ours and self.folder.exists() and any(self.folder.iterdir()):
            raise SetupError(
                f'{self.folder} was not made by `make setup` and does not fit ({self.base}, '
                f'{"with ROS " + self.ros if self.ros else "no ROS"}): move it away, or `make distclean`'
            )
        self.state = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [self.base, '-m', 'venv', '--clear', self.folder]
        if self.ros:
            command.insert(3, '--system-site-packages')
        try:
            run(command)
        except SetupError as error:
            raise SetupError(
                f"{error}\nPython's venv module may be missing: on Debian and Ubuntu, `sudo apt install python3-venv`"
            ) from error
        finally:
            self.save()  # Whatever came of it is ours, to be replaced the next time.

    def pip(self, *arguments) -> None:
        """Run pip in the environment."""
        run([self.python, '-m', 'pip', '--disable-pip-version-check', '--no-input', 'install', *arguments])

    def adopt(self) -> bool:
        """Return whether a .venv without a record of ours fits: its Python, and its view of the system's packages."""
        if self.state:
            return False
        shared = 'True' if self.ros else 'False'
        code = (
            'import pathlib, pip, platform, sys; print(platform.python_version(), sys.base_prefix, '
            '"include-system-site-packages = true" in pathlib.Path(sys.prefix, "pyvenv.cfg").read_text())'
        )
        return self.python.exists() and answers(str(self.python), code) == f'{self.facts[0]} {shared}'


def requirements(*names: str) -> list:
    """Return the requirements files of these names."""
    return [ROOT / 'requirements' / f'{name}.txt' for name in names]


def install(environment: Environment, names: tuple) -> None:
    """Install requirements files by pip; with ROS sourced, without touching what its own packages were built for."""
    arguments = [part for path in requirements(*names) for part in ('-r', path)]
    if not environment.ros:
        environment.pip(*arguments)
        return
    code = 'import importlib.metadata as m; print("\\n".join(f"{n}=={m.version(n)}" for n in ("numpy", "PyYAML")))'
    held = answers(str(environment.python), code)
    if held is None:
        raise SetupError('numpy or PyYAML of the system cannot be found: ' + rosdep_advice())
    with tempfile.NamedTemporaryFile('w', suffix='.txt') as constraints:
        constraints.write(held + '\n')
        constraints.flush()
        environment.pip(*arguments, '-c', constraints.name)


def install_extra(environment: Environment, name: str) -> None:
    """Install one more requirements file."""
    key = digest(requirements(name), *environment.facts)
    environment.step(name, f'Requirements: {name}', key, lambda: install(environment, (name,)))


def rosdep_advice() -> str:
    return '`rosdep install --from-paths . --ignore-src` in the checkout installs what package.xml names'


def check_distribution(environment: Environment) -> None:
    """Check that the sourced ROS and apt provide what package.xml names.

    Raises:
        SetupError: something is missing.

    """
    code = f'import importlib.util as u; print(*[n for n in {DISTRIBUTION_MODULES!r} if u.find_spec(n) is None])'
    missing = answers(str(environment.python), code)
    if missing is None or missing:
        raise SetupError(
            f'ROS {environment.ros} is sourced, but Python modules are missing: '
            f'{missing or "its Python does not start"}. {rosdep_advice()}'
        )


def check_pip_ros() -> None:
    """Check that ROS 2 from pip can be installed and its overlay be built here.

    Raises:
        SetupError: not on this platform, or a compiler or Python's headers are missing.

    """
    if sys.platform != 'linux' or platform.machine() != 'x86_64':
        raise SetupError(
            f'ROS 2 from pip exists for Linux on x86-64 only, this is {sys.platform} on '
            f'{platform.machine()}: install a ROS distribution, source its setup.bash, and run this again'
        )
    if not (shutil.which('c++') and shutil.which('cc')):
        raise SetupError(
            'no C and C++ compiler, which the overlay needs: on Debian and Ubuntu, `sudo apt install g++ make`'
        )


def build_overlay(environment: Environment) -> None:
    """Build tf2_msgs against ROS 2 in the environment, and install it there, where Python and the linker look anyway.

    Raises:
        SetupError: Python's headers are missing, or the build failed.

    """
    headers = answers(str(environment.python), 'import sysconfig; print(sysconfig.get_path("include"))')
    if not headers or not Path(headers, 'Python.h').is_file():
        raise SetupError(f'{headers}/Python.h is missing: on Debian and Ubuntu, `sudo apt install python3-dev`')
    environment.pip(*[part for path in requirements('overlay') for part in ('-r', path)])
    prefix = str(environment.folder)
    variables = dict(
        os.environ,
        AMENT_PREFIX_PATH=prefix,
        CMAKE_PREFIX_PATH=prefix,
        PATH=f'{prefix}/bin{os.pathsep}{os.environ["PATH"]}',
    )
    for name in ('PYTHONPATH', 'LD_LIBRARY_PATH', 'DESTDIR', '_ROS_WHEELS_BOOTSTRAP_COMPLETE'):
        variables.pop(name, None)
    cmake = f'{prefix}/bin/cmake'
    with tempfile.TemporaryDirectory() as build:
        run(
            [
                cmake,
                '-S',
                ROOT / 'overlay' / 'tf2_msgs',
                '-B',
                build,
                '-DCMAKE_BUILD_TYPE=Release',
                '-DBUILD_TESTING=OFF',
                f'-DPython3_EXECUTABLE={environment.python}',
                f'-DCMAKE_INSTALL_PREFIX={prefix}',
            ],
            variables,
        )
        run([cmake, '--build', build, '--parallel', str(os.cpu_count() or 1)], variables)
        run([cmake, '--install', build], variables)
    run([environment.python, '-c', 'from tf2_msgs.msg import TFMessage; TFMessage.__class__.__import_type_support__()'])


def main() -> int:
    """Set up the environment; 1 after a message where that is not possible."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--venv', type=Path, default=ROOT / '.venv', help='where to make it (default: .venv)')
    parser.add_argument('--training', action='store_true', help='also install what training needs')
    parser.add_argument('--checks', action='store_true', help='also install ruff, mypy, import-linter and pre-commit')
    parser.add_argument(
        '--tests',
        action='store_true',
        help='--checks, and what tests of training and of the viewer need; goes on without where these cannot be had',
    )
    options = parser.parse_args()
    wanted = ('training',) * options.training + ('checks',) * (options.checks or options.tests)
    optional = tuple(name for name in ('training', 'view') if options.tests and name not in wanted)
    try:
        set_up(options.venv.absolute(), wanted, optional)
    except SetupError as error:
        print(f'setup: error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def get_networks(environment: Environment) -> None:
    """Take MediaPipe's networks out of the registry's package; without them color is tracked by the shipped ones."""
    script = ROOT / 'hand_pose_ros' / 'inference' / 'mediapipe_files.py'
    command = [environment.folder / 'bin' / 'hand-pose', 'models', 'get', 'mediapipe']
    try:
        environment.step(
            'mediapipe', "MediaPipe's networks", digest([script], *environment.facts), lambda: run(command)
        )
    except SetupError as error:
        print(f"{error}\nsetup: MediaPipe's networks cannot be had; color is tracked by the shipped ones", flush=True)


def set_up(folder: Path, wanted: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> None:
    """Bring the environment in ``folder`` to the state that the requirements describe.

    Args:
        folder: the virtual environment.
        wanted: names of requirements files, beside what the package itself needs.
        optional: more of them; where one cannot be installed, that is said, and its tests are skipped.

    Raises:
        SetupError: a step is not possible.

    """
    ros = sourced_ros(os.environ)
    python = choose_python(ros)
    environment = Environment(folder, python, ros)
    facts = environment.facts
    names = ('build', 'inference') if ros else ('build', 'ros', 'inference')
    if not ros:
        check_pip_ros()
    base_key = digest([], *facts)
    if environment.adopt():
        environment.state['base'] = base_key
    origin = f'ROS {ros} and its Python' if ros else 'Python'
    environment.step('base', f'Virtual environment {folder} on {origin} ({python})', base_key, environment.create)
    if ros:
        check_distribution(environment)
    environment.step(
        'runtime',
        f'Requirements: {", ".join(names)}',
        digest(requirements(*names), *facts),
        lambda: install(environment, names),
    )
    if not ros:
        environment.step(
            'overlay',
            'Overlay: tf2_msgs for ROS 2 from pip',
            digest([ROOT / 'overlay' / 'tf2_msgs', *requirements('overlay', 'ros')], *facts),
            lambda: build_overlay(environment),
        )
    environment.step(
        'package',
        'This package, editable',
        digest([ROOT / 'setup.py', ROOT / 'package.xml'], *facts),
        lambda: environment.pip('--no-deps', '--no-build-isolation', '-e', ROOT),
    )
    for name in (*wanted, *optional):
        try:
            install_extra(environment, name)
        except SetupError as error:
            if name in wanted:
                raise
            print(f'{error}\nsetup: {name} requirements cannot be installed; its tests will be skipped', flush=True)
    get_networks(environment)
    state = 'ready' if environment.changed else 'up to date'
    print(f'{folder} is {state}; `{folder}/bin/hand-pose doctor` looks it over')


if __name__ == '__main__':
    sys.exit(main())
