"""Settings as ROS parameters: one declaration, typed, described and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from hand_pose_ros.settings import changed, compose, declared

S = TypeVar('S')


def declare_settings(node: Node, kind: type[S], fixed: Callable[[str], bool] = lambda name: False) -> S:
    """Declare every setting of ``kind`` as a parameter of ``node``.

    Args:
        node: node that gets the parameters.
        kind: the settings, in groups or not.
        fixed: tells, by name, which ones can never be set after the start.

    Returns:
        The values that the node was started with.

    Raises:
        ValueError: one of them is of the wrong type or out of range; the message names the parameter.

    """
    for setting in declared(kind):
        try:
            node.declare_parameter(setting.name, setting.default, _descriptor(setting, fixed(setting.name)))
        except InvalidParameterTypeException as error:
            raise ValueError(
                f'parameter {setting.name}: the value given is not a {type(setting.default).__name__} ({error})'
            ) from error
        except InvalidParameterValueException as error:
            raise ValueError(f'parameter {setting.name}: {error}') from error
    return read_settings(node, kind)


def read_settings(node: Node, kind: type[S]) -> S:
    """Return the settings that the parameters of ``node`` hold now."""
    return compose(kind, {setting.name: node.get_parameter(setting.name).value for setting in declared(kind)})


def check_changes(settings: Any, parameters: list[Parameter], configured: bool) -> SetParametersResult:
    """Decide whether ``parameters`` may replace those of ``settings``; for a callback on setting parameters.

    Args:
        settings: what holds now.
        parameters: what is to be set; other than settings are let through.
        configured: the node works with ``settings``, so that only live ones may change.

    """
    live = {setting.name: setting.metadata['live'] for setting in declared(type(settings))}
    changes = {parameter.name: parameter.value for parameter in parameters if parameter.name in live}
    for name in changes:
        if configured and not live[name]:
            return SetParametersResult(
                successful=False,
                reason=f'parameter {name} is read when the node configures; '
                'deactivate and clean up the node before setting it',
            )
    try:
        changed(settings, **changes)
    except ValueError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def parameter_overrides(values: Mapping[str, Any]) -> list[Parameter]:
    """Wrap plain values for the ``parameter_overrides`` of a node."""
    return [Parameter(name, value=value) for name, value in values.items()]


def _descriptor(setting: Field, fixed: bool) -> ParameterDescriptor:
    kind = type(setting.default)
    low, high, choices, live = (setting.metadata[key] for key in ('low', 'high', 'choices', 'live'))
    constraints = [f'One of {", ".join(map(str, choices))}.'] * bool(choices)
    if not live:
        constraints.append('Read once, at the start.' if fixed else 'Read when the node configures.')
    # A number without a decimal point is an integer to ROS; it is as good a float, so that type is left open
    # and Settings checks it.
    descriptor = ParameterDescriptor(
        description=setting.metadata['description'],
        read_only=fixed,
        additional_constraints=' '.join(constraints),
        dynamic_typing=kind is float,
    )
    if low is not None and kind is int:
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    elif low is not None:
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
