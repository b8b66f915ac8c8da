"""Prints the licenses of all that is installed in .venv and of all models, and writes them as a CycloneDX list.

`make licenses` runs it with .venv's Python. The list, `out/licenses/bom.cdx.json`, is made by cyclonedx-bom
(`requirements/licenses.txt`), which gets an environment of its own in .venv, once; it needs the registry for that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

REQUIREMENTS = ROOT / 'requirements' / 'licenses.txt'
#: Where cyclonedx-bom lives.
TOOL = Path(sys.prefix) / 'share' / 'hand_pose_ros' / 'cyclonedx'
#: Classifiers that name no license.
_NO_LICENSE = ('OSI Approved', 'Other/Proprietary License')
UNKNOWN = 'not stated'


@dataclass(frozen=True)
class Model:
    """A model: its file, what it is, its license as an SPDX expression, or as a name where there is none."""

    name: str
    what: str
    license: str
    sha256: str = ''


def license_of(distribution: Distribution) -> str:
    """Return the license that a package states: the expression, else its classifiers, else a short text."""
    metadata = distribution.metadata
    if expression := metadata.get('License-Expression'):
        return expression
    named = [line.split(' :: ')[-1] for line in metadata.get_all('Classifier') or () if line.startswith('License ::')]
    named = [name for name in named if name not in _NO_LICENSE]
    text = (metadata.get('License') or '').strip().splitlines()
    if text and len(text[0]) <= 60 and text[0].upper() != 'UNKNOWN':
        return text[0] if not named else ', '.join(dict.fromkeys(named))
    return ', '.join(dict.fromkeys(named)) or _license_of_ros_package(metadata['Name']) or _license_file(distribution)


def _license_of_ros_package(name: str) -> str:
    """What a ROS package's manifest says, which its wheel does not repeat; empty where there is none."""
    plain = name.removeprefix('ros-').replace('-', '_')
    for package in (plain, plain.removesuffix('_vendor')):
        manifest = Path(sys.prefix) / 'share' / package / 'package.xml'
        if manifest.is_file():
            return ', '.join(tag.text or '' for tag in ElementTree.parse(manifest).getroot().findall('license'))
    return ''


def _license_file(distribution: Distribution) -> str:
    """The first line of a license's text."""
    for file in distribution.files or ():
        if file.name.upper().startswith(('LICENSE', 'LICENCE', 'COPYING')) and 'dist-info' in str(file):
            lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
            if lines:
                return f'{lines[0][:50]} (its {file.name})'
    return UNKNOWN


def packages() -> list[tuple[str, str, str]]:
    """Name, version and license of every package that this Python has, by name."""
    found = {
        dist.metadata['Name']: (dist.version, license_of(dist)) for dist in distributions() if dist.metadata['Name']
    }
    return sorted(((name, *facts) for name, facts in found.items()), key=lambda one: one[0].lower())


def models() -> list[Model]:
    """The networks and hand models that come with the package, and those that set-up takes."""
    from hand_pose_ros.hand_model.model import load_hand_model
    from hand_pose_ros.inference import mediapipe_files
    from hand_pose_ros.inference.models import read_manifest

    shipped = [
        Model(f'models/{entry["file"]}', f'{entry["task"]} network', entry['license'], entry['sha256'])
        for entry in read_manifest().values()
    ]
    shipped += [
        Model(f'models/{entry["int8"]["file"]}', f'{entry["task"]} network', entry['license'], entry['int8']['sha256'])
        for entry in read_manifest().values()
        if 'int8' in entry
    ]
    hand = load_hand_model()
    taken = [
        Model(name, f'mediapipe {mediapipe_files.VERSION}', 'Apache-2.0', mediapipe_files.FILES[name].sha256)
        for name in mediapipe_files.NETWORKS
    ]
    return [*shipped, Model('models/hand_model.npz', 'hand model', hand.license), *taken]


def write_list(path: Path) -> int:
    """Write the CycloneDX list of the packages and the models; returns the number of its components."""
    _install_tool()
    path.parent.mkdir(parents=True, exist_ok=True)
    python = TOOL / 'bin' / 'python'
    command = [python, '-m', 'cyclonedx_py', 'environment', '--output-reproducible', '--of', 'JSON', '-o', path]
    subprocess.run([*map(str, command), sys.executable], check=True)
    content = json.loads(path.read_text())
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    content.setdefault('metadata', {})['component'] = {
        'type': 'application',
        'bom-ref': 'hand_pose_ros',
        'name': package.findtext('name'),
        'version': package.findtext('version'),
        'licenses': [{'license': {'id': package.findtext('license')}}],
    }
    components = content.setdefault('components', [])
    stated = {name: license for name, _, license in packages() if license != UNKNOWN}
    for component in components:
        if not component.get('licenses') and component['name'] in stated:
            component['licenses'] = [{'license': {'name': stated[component['name']]}}]
    components += [_component(model) for model in models()]
    path.write_text(json.dumps(content, indent=1) + '\n')
    return len(components)


def _component(model: Model) -> dict[str, Any]:
    expression = ' ' not in model.license
    component: dict[str, Any] = {
        'type': 'machine-learning-model',
        'bom-ref': model.name,
        'name': model.name,
        'description': model.what,
        'licenses': [{'license': {'id' if expression else 'name': model.license}}],
    }
    if model.sha256:
        component['hashes'] = [{'alg': 'SHA-256', 'content': model.sha256}]
    return component


def _install_tool() -> None:
    stamp = TOOL / 'requirements.txt'
    if stamp.is_file() and stamp.read_text() == REQUIREMENTS.read_text():
        return
    venv.create(TOOL, with_pip=True, clear=True)
    install = [str(TOOL / 'bin' / 'python'), '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    subprocess.run([*install, '-r', str(REQUIREMENTS)], check=True)
    stamp.write_text(REQUIREMENTS.read_text())


def main() -> int:
    """Print the tables and write the list; 1 where cyclonedx-bom cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=ROOT / 'out' / 'licenses' / 'bom.cdx.json')
    args = parser.parse_args()
    known = packages()
    for name, version, stated in known:
        print(f'{name:42s} {version:16s} {stated}')
    print()
    for model in models():
        print(f'{model.name:42s} {model.what:16s} {model.license}')
    try:
        count = write_list(args.out)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f'\nlicenses: the CycloneDX list cannot be written: {error}', file=sys.stderr)
        return 1
    missing = sum(stated == UNKNOWN for _, _, stated in known)
    print(f'\n{len(known)} packages ({missing} state no license), {len(models())} models; {count} in {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
