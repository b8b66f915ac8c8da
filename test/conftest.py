"""Markers by folder, so that ``-m`` chooses among the tests; and networks that are compiled once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hand_pose_ros.inference.models import Model
from hand_pose_ros.inference.openvino import OpenVINOEngine

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parent / 'models'
#: Folder of tests -> the marker that all of its tests have.
MARKERS = {'nodes': 'ros', 'training': 'training'}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder."""
    for item in items:
        marker = MARKERS.get(item.path.relative_to(HERE).parts[0])
        if marker:
            item.add_marker(marker)


@pytest.fixture(scope='session', autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave the user's cache alone; the processes that tests start share this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='session', autouse=True)
def compile_each_network_once() -> Iterator[None]:
    """Share what OpenVINO compiled of the shipped models: compiling one takes as long as forty frames."""
    compile_anew, compiled = OpenVINOEngine.__init__, {}

    def initialize(self: OpenVINOEngine, model: Model, *args: Any, **options: Any) -> None:
        key = model, args, *options.items()
        if key in compiled:
            vars(self).update(compiled[key])
            return
        compile_anew(self, model, *args, **options)
        if SHIPPED in model.path.parents:
            compiled[key] = dict(vars(self))

    OpenVINOEngine.__init__ = initialize
    yield
    OpenVINOEngine.__init__ = compile_anew
