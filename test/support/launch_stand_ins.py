"""Tiny stand-ins for ROS's ``launch`` and ``launch_ros``: they take down what a launch file declares and starts.

They know what the launch files of this package use, and raise an AttributeError for anything else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from runpy import run_path
from types import ModuleType
from typing import Any

import pytest
from checkout import ROOT


@dataclass
class Context:
    """What ``launch.LaunchContext`` is to a substitution: the arguments, and where the package lies."""

    launch_configurations: dict[str, str]


@dataclass(frozen=True)
class Substitution:
    """A value that is known only when the launch file runs."""

    perform: Callable[[Context], str]


@dataclass(frozen=True)
class Action:
    """An action and what it was given, by name."""

    kind: str
    given: dict[str, Any]


@dataclass
class Launched:
    """What became of a launch file: its arguments by name, and the actions that it started, in order."""

    arguments: dict[str, Action] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)


def text(value: Any, context: Context) -> str:
    """Return a value, or what it is in this context."""
    return value.perform(context) if isinstance(value, Substitution) else value


def _join(parts: list) -> Substitution:
    return Substitution(lambda context: str(Path(*(text(part, context) for part in parts))))


def _action(kind: str, *positional: str) -> Callable[..., Action]:
    return lambda *values, **given: Action(kind, dict(zip(positional, values, strict=False)) | given)


_MODULES: dict[str, dict[str, Any]] = {
    'launch': {'LaunchContext': Context, 'LaunchDescription': list},
    'launch.actions': {
        'DeclareLaunchArgument': _action('argument', 'name'),
        'ExecuteProcess': _action('process'),
        'IncludeLaunchDescription': _action('include', 'source'),
        'OpaqueFunction': _action('function'),
        'Shutdown': _action('shutdown'),
    },
    'launch.conditions': {'IfCondition': _action('if', 'value')},
    'launch.launch_description_sources': {'PythonLaunchDescriptionSource': lambda location: location},
    'launch.substitutions': {
        'LaunchConfiguration': lambda name: Substitution(lambda context: context.launch_configurations[name]),
        'PathJoinSubstitution': _join,
    },
    'launch_ros': {},
    'launch_ros.actions': {'Node': _action('node')},
    'launch_ros.substitutions': {'FindPackageShare': lambda package: Substitution(lambda context: str(ROOT))},
}

#: What the launch files share imports them too.
SHARED = 'hand_pose_ros.nodes.launching'


def launched(monkeypatch: pytest.MonkeyPatch, file: Path, given: Mapping[str, str] | None = None) -> Launched:
    """Run a launch file on the stand-ins, with arguments as ``ros2 launch`` takes them; unknown ones are refused."""
    for name, content in _MODULES.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    # It has imported the real ones, or those of a test before, if any.
    monkeypatch.setitem(sys.modules, SHARED, None)
    del sys.modules[SHARED]
    result, context, left = Launched(), Context({}), dict(given or {})
    for action in run_path(str(file))['generate_launch_description']():
        _take(action, result, context, left)
    assert not left, f'{file.name} has no arguments {", ".join(left)}'
    return result


def _take(action: Action, result: Launched, context: Context, left: dict[str, str]) -> None:
    if action.kind == 'argument':
        name = action.given['name']
        value = left.pop(name, None)
        assert value is not None or 'default_value' in action.given, f'argument {name} is needed'
        choices = action.given.get('choices')
        value = text(action.given['default_value'], context) if value is None else value
        assert choices is None or value in choices, f'argument {name}: {value} is not one of {choices}'
        result.arguments[name], context.launch_configurations[name] = action, value
    elif action.kind == 'function':
        for one in action.given['function'](context):
            _take(one, result, context, left)
    elif 'condition' not in action.given or text(action.given['condition'].given['value'], context) == 'true':
        result.actions.append(Action(action.kind, {name: _known(v, context) for name, v in action.given.items()}))


def _known(value: Any, context: Context) -> Any:
    """The value with every substitution in it replaced by what it is."""
    if isinstance(value, (list, tuple)):
        return type(value)(_known(part, context) for part in value)
    if isinstance(value, dict):
        return {name: _known(part, context) for name, part in value.items()}
    return text(value, context)
