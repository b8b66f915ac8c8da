"""A bounded number of the mutated files of ``test/fuzz.py``, which tries as many as there is time for."""

import random

import fuzz
import pytest
from fuzz import mutate, targets, try_once
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TARGETS = {target.name: target for target in targets()}
#: Mutations of each reader in `make test`.
COUNT = 12


@pytest.mark.parametrize('name', TARGETS)
def test_a_mutated_file_is_read_or_refused_in_one_line(name, tmp_path):
    target, rng = TARGETS[name], random.Random(name)
    assert not try_once(target, target.example, tmp_path), 'the example itself'
    for _ in range(COUNT):
        data = mutate(target.example, rng, target.text)
        assert not try_once(target, data, tmp_path), data[:2000]


@pytest.mark.parametrize('name', [name for name, target in TARGETS.items() if len(target.example) < 20_000])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_anything_at_all_is_read_or_refused(name, tmp_path, data):
    target = TARGETS[name]
    content = data.draw(st.text(max_size=300).map(str.encode) if target.text else st.binary(max_size=300))
    kept = data.draw(st.integers(0, len(target.example)))
    assert not try_once(target, target.example[:kept] + content, tmp_path)


def test_the_harness_notices(tmp_path):
    def broken(path):
        raise KeyError('a traceback')

    assert 'KeyError' in try_once(fuzz.Target('broken', b'x', broken, '.txt'), b'y', tmp_path)
