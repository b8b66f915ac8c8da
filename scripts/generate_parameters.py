"""Write ``config/tracker.yaml`` and ``docs/parameters.md`` from the declared settings.

Run ``python scripts/generate_parameters.py`` after a change of ``hand_pose_ros/settings.py``.
``--check`` writes nothing and ends with code 1 where a file is not what would be written.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path

from hand_pose_ros.robots.settings import HriSettings, RetargetSettings, TeleopSettings
from hand_pose_ros.settings import PlaybackSettings, Settings, TrackerSettings, declared

ROOT = Path(__file__).resolve().parents[1]
YAML, PAGE = ROOT / 'config' / 'tracker.yaml', ROOT / 'docs' / 'parameters.md'
WIDTH = 120
#: Nodes that move robots: their name, what starts them, their settings.
ROBOT_NODES = (
    ('hand_retarget', 'retarget.launch.py', RetargetSettings),
    ('hand_teleop', 'teleop.launch.py', TeleopSettings),
    ('hand_hri', 'ros2 run hand_pose_ros hri', HriSettings),
)

INTRODUCTION = """# Parameters

<!-- Written by scripts/generate_parameters.py from hand_pose_ros/settings.py and
     hand_pose_ros/robots/settings.py; edit those. -->

Each parameter is a ROS parameter of its node, an argument of `tracker.launch.py` (`near:=0.2`), and a flag of
`hand-pose` where it means something there (`--near 0.2`; switches are `--mesh` and `--no-mesh`). A file for
`params_file` begins as a copy of [`config/tracker.yaml`](../config/tracker.yaml). *Live* ones may change while the node
runs (`ros2 param set /hand_tracker near 0.2`); the others are read when it configures.
"""


def tracker_yaml() -> str:
    """The parameters file of the tracker node, every value the default."""
    lines = [
        '# Parameters of the hand_tracker node with their defaults; an edited copy is what the launch file takes as',
        '# params_file. Those marked "Live" may change while the node runs, the others are read when it configures.',
        '# Written by scripts/generate_parameters.py.',
        '/**/hand_tracker:',
        '  ros__parameters:',
    ]
    for setting in declared(TrackerSettings):
        live = ['Live.'] * setting.metadata['live']
        comment = ' '.join([setting.metadata['description'], *_limits(setting), *live])
        lines += textwrap.wrap(comment, WIDTH, initial_indent='    # ', subsequent_indent='    # ')
        lines.append(f'    {setting.name}: {_value(setting.default)}')
    return '\n'.join(lines) + '\n'


def parameters_page() -> str:
    """The page of all parameters."""
    groups = [type(group.default) for group in fields(TrackerSettings)]
    parts = [
        INTRODUCTION,
        '## The tracker node, `hand_tracker`\n',
        *(part for group in groups for part in (f'### {_title(group)}\n', _table(group))),
        f'## The playback node, `playback`\n\n{_title(PlaybackSettings)}. All are read once, at the start.\n',
        _table(PlaybackSettings),
        *(
            f'## The node `{name}`, by `{start}`\n\nRead once, at the start: [robots.md](robots.md).\n\n{_table(group)}'
            for name, start, group in ROBOT_NODES
        ),
    ]
    return '\n'.join(parts)


def _title(group: type[Settings]) -> str:
    return (group.__doc__ or '').strip().partition('.')[0]


def _table(group: type[Settings]) -> str:
    rows = ['| parameter | type | default | meaning | live |', '|---|---|---|---|---|', *_rows(group)]
    return '\n'.join(rows) + '\n'


def _rows(group: type[Settings]) -> Iterator[str]:
    for setting in fields(group):
        meaning = ' '.join([setting.metadata['description'], *_limits(setting)]).replace('|', r'\|')
        live = 'yes' if setting.metadata['live'] else ''
        kind = {'str': 'string', 'float': 'double'}.get(type(setting.default).__name__, type(setting.default).__name__)
        yield f'| `{setting.name}` | {kind} | `{_value(setting.default)}` | {meaning} | {live} |'


def _limits(setting: Field) -> Iterator[str]:
    if choices := setting.metadata['choices']:
        yield f'One of {", ".join(map(str, choices))}.'
    if setting.metadata['low'] is not None:
        yield f'From {setting.metadata["low"]} to {setting.metadata["high"]}.'


def _value(value: str | bool | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(value)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing; 1 where a file is not up to date')
    check = parser.parse_args().check
    stale = []
    for path, text in ((YAML, tracker_yaml()), (PAGE, parameters_page())):
        if not path.is_file() or path.read_text() != text:
            stale.append(path)
            if not check:
                path.write_text(text)
    print('\n'.join(f'{path.relative_to(ROOT)}: {"not up to date" if check else "written"}' for path in stale))
    return int(check and bool(stale))


if __name__ == '__main__':
    sys.exit(main())
