"""What the code is held to beside ruff, mypy and the layers: names, sizes and words; and skips that say why."""

from __future__ import annotations

import ast
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from checkout import ROOT

RUNTIME = sorted((ROOT / 'hand_pose_ros').rglob('*.py'))
TRAINING = sorted((ROOT / 'training').rglob('*.py'))
TESTS = sorted((ROOT / 'test').rglob('*.py'))
LONGEST_FUNCTION = 60

#: Words in an identifier that the field has others for: views, handedness, track and association, inverse kinematics,
#: articulated ICP, augmentation, tone mapping, random initialization; and British spellings.
OLD_WORDS = (
    'looks?(?! at| target)|hears?|heard|side odds|right odds|told|beside|worth|settles?|settled|on surface|fit surface|'
    'spoils?|spoiled|spoilt|developed|chances?|aligned depth|rgb light|centres?|colours?|metres?|licence'
)
_OLD = re.compile(rf'(?:^| )(?:{OLD_WORDS})(?:$| )')
_CAPITAL = re.compile(r'(?<=[a-z0-9])(?=[A-Z])')

pytestmark = pytest.mark.skipif(not (ROOT / 'setup.py').is_file(), reason='needs the checkout')


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@lru_cache(None)
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def definitions(path: Path, *kinds: type) -> Iterator[ast.AST]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, kinds))


def test_a_class_name_exists_once():
    places = defaultdict(list)
    for path in RUNTIME:
        for node in definitions(path, ast.ClassDef):
            if not node.name.startswith('_'):
                places[node.name].append(short(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_functions_can_be_read_at_one_sitting():
    long = {
        f'{short(path)}:{node.name}': node.end_lineno - node.lineno + 1
        for path in (*RUNTIME, *TRAINING)
        for node in definitions(path, ast.FunctionDef, ast.AsyncFunctionDef)
        if node.end_lineno - node.lineno >= LONGEST_FUNCTION
    }
    assert long == {}


def test_names_are_words_of_the_field():
    found = defaultdict(set)
    for path in RUNTIME:
        with tokenize.open(path) as file:
            for token in tokenize.generate_tokens(file.readline):
                words = _CAPITAL.sub(' ', token.string).replace('_', ' ').lower()
                if token.type == tokenize.NAME and _OLD.search(words):
                    found[short(path)].add(token.string)
    assert dict(found) == {}


def test_every_skip_says_what_is_missing():
    for path in TESTS:
        for call in definitions(path, ast.Call):
            name = ast.unparse(call.func)
            if name in ('pytest.skip', 'pytest.mark.skip', 'pytest.mark.skipif'):
                reasons = [k.value for k in call.keywords if k.arg == 'reason'] + call.args[name.endswith('if') :]
                assert reasons, f'{short(path)}:{call.lineno}: {name} without a reason'
