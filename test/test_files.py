"""The one layer that reads files of others, and the one that writes results."""

import errno
import json
from pathlib import Path

import pytest

from hand_pose_ros.cli.main import describe
from hand_pose_ros.files import check_foreign_yaml, parse_yaml, printable, read_bytes, reading, writing


class OwnError(ValueError):
    pass


@pytest.mark.parametrize(
    'error, words',
    [
        (RecursionError('x'), 'nested too deeply'),
        (MemoryError(), 'too little memory'),
        (FileNotFoundError(errno.ENOENT, 'No such file'), 'No such file'),
        (UnicodeDecodeError('utf-8', b'', 0, 1, 'x'), 'no text in UTF-8'),
        (KeyError('a'), "not a thing .KeyError: 'a'"),
        (OverflowError('x' * 10_000), 'not a thing'),
        (OwnError('it is wrong'), 'f.txt: it is wrong'),
        (OwnError('f.txt: said'), '^f.txt: said$'),
    ],
)
def test_whatever_goes_wrong_becomes_one_short_line_that_names_the_file(error, words):
    with pytest.raises(OwnError, match=words) as raised, reading('f.txt', OwnError, 'a thing'):
        raise error
    assert str(raised.value).startswith('f.txt') and len(str(raised.value)) < 300


@pytest.mark.parametrize(
    'text, words',
    [
        ('[' * 50, 'deeply'),
        (
            'a: &a {b: 1}\n'
            + '\n'.join(f'{x}: &{x} [{", ".join(["*" + y] * 9)}]' for x, y in zip('bcdefgh', 'abcdefg')),
            'aliases',
        ),
        ('a: &a [*a]', 'holds itself'),
        ('x: "' + 'y' * 300_000 + '"', '200 kB'),
        ('a: !!python/object:os.system x', 'constructor'),
    ],
)
def test_yaml_that_would_fill_the_memory_is_refused(text, words):
    with pytest.raises(Exception, match=words):
        parse_yaml(text)


def test_yaml_is_plain_data_and_may_repeat_itself():
    assert parse_yaml('a: &x [1, 2.5]\nb: *x\nwhen: 2020-99-99') == {'a': [1, 2.5], 'b': [1, 2.5], 'when': '2020-99-99'}


@pytest.mark.parametrize(
    'text, words',
    [
        ('a: &a {b: 1}', 'repeats itself'),
        ('a: 1\nb: *a', 'repeats itself'),
        ('b: {<<: {a: 1}}', 'merges tables'),
        ('x: [' + 'a,' * 50_000 + ']', '40000 values'),
        ('x: "' + 'y' * 600_000 + '"', '500 kB'),
    ],
)
def test_yaml_that_would_keep_another_library_busy_is_refused(tmp_path, text, words):
    (tmp_path / 'a.yaml').write_text(text)
    with pytest.raises((ValueError, OSError), match=words):
        check_foreign_yaml(tmp_path / 'a.yaml')


def test_the_metadata_of_a_recording_of_many_topics_are_read(tmp_path):
    profile = {name: {'sec': 9223372036, 'nsec': 854775807} for name in ('deadline', 'lifespan', 'lease_duration')}
    profile |= {'history': 'keep_last', 'depth': 10, 'reliability': 'reliable', 'durability': 'volatile'}
    profiles = [profile] * 3
    topics = [{'name': f'/robot/topic_{n}', 'type': 'a/msg/B', 'profiles': profiles} for n in range(200)]
    (tmp_path / 'a.yaml').write_text(json.dumps(topics))
    check_foreign_yaml(tmp_path / 'a.yaml')


def test_a_file_is_read_up_to_its_limit(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_bytes(bytes(2000))
    assert read_bytes(path, 2000) == bytes(2000)
    with pytest.raises(OSError, match='more than 1 kB'):
        read_bytes(path, 1999)
    with pytest.raises(OSError, match='a pipe or a device'):
        read_bytes(Path('/dev/zero'), 2000)


def test_what_moves_a_terminals_cursor_is_written_out():
    assert printable('a\x1b[2J\x07\u202eb') == 'a\\x1b[2J\\x07\\u202eb'
    assert describe(ValueError('bad\x1b]0;title\x07name.png: no image')).isprintable()
    assert 'too little memory' in describe(MemoryError())


@pytest.mark.parametrize('old', [None, 'old'])
@pytest.mark.parametrize(
    'end, kept', [(None, 'new'), (OSError(errno.ENOSPC, 'full'), 'old'), (KeyboardInterrupt(), 'new')]
)
def test_a_result_is_put_in_its_place_once_it_is_whole(tmp_path, old, end, kept):
    path = tmp_path / 'a.txt'
    if old:
        path.write_text(old)
    try:
        with writing(path) as part:
            part.write_text('new')
            assert part != path and (not old or path.read_text() == old)
            if end:
                raise end
    except BaseException as error:
        assert error is end
    assert path.read_text() == (kept if old else 'new'), 'what is there is a result where no older one would be lost'
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_before_anything_is_written_leaves_the_old_result(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    for write in (Path.touch, lambda part: None):
        with pytest.raises(KeyboardInterrupt), writing(path) as part:
            write(part)
            raise KeyboardInterrupt
        assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]
