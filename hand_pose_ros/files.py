"""Files that others made: read as plain data or refused in one line; and results, written so that an old one stays
until the new one is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class FileLimits:
    """What files may hold at most, so that a small one cannot fill the memory or keep a processor busy."""

    #: Bytes of a YAML file: calibrations have a few thousand, and a parser in Python takes seconds a megabyte.
    yaml_bytes: int = 200_000
    #: The same where another library reads it: that of a recording describes every topic in a thousand bytes.
    foreign_yaml_bytes: int = 2_000_000
    #: Levels of lists and tables in one another in YAML.
    yaml_depth: int = 40
    #: Values of a YAML file with its aliases written out.
    yaml_values: int = 100_000
    #: Letters of a reason that are shown: some libraries repeat the file.
    reason_letters: int = 200


LIMITS = FileLimits()


def printable(text: str) -> str:
    """The text with every character that moves a terminal's cursor or colors it written out as Python writes it."""
    return ''.join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def reason(error: BaseException) -> str:
    """What went wrong, in one short line."""
    if isinstance(error, MemoryError):
        return 'there is too little memory for it'
    if isinstance(error, RecursionError):
        return 'it is nested too deeply'
    if isinstance(error, UnicodeError):
        return 'it is no text in UTF-8'
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, (EOFError, json.JSONDecodeError)):
        return f'{error}: is it cut off?'
    text = printable(' '.join(str(error).split()))
    text = text if len(text) <= LIMITS.reason_letters else f'{text[: LIMITS.reason_letters]}...'
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


@contextmanager
def reading(path: str | Path, kind: type[ValueError], what: str) -> Iterator[None]:
    """Turn whatever goes wrong in reading a file into one error that names it.

    Args:
        path: the file, or what messages call it.
        kind: the error that is raised.
        what: what the file should be, e.g. ``a camera calibration file``.

    Raises:
        ValueError: of ``kind``, whatever was raised within.

    """
    try:
        yield
    except kind as error:
        # A reader's own error says it best; it may come from a part that does not know the file.
        if str(path) in str(error) and str(error).isprintable():
            raise
        text = str(error) if str(path) in str(error) else f'{path}: {error}'
        raise kind(printable(text)) from error
    except (OSError, MemoryError) as error:
        raise kind(printable(f'{path}: {reason(error)}')) from error
    # Libraries let escape whatever error a damaged byte happens to cause.
    except Exception as error:
        raise kind(printable(f'{path}: not {what} ({reason(error)})')) from error


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; raises ValueError or RecursionError where it is none."""
    return json.loads(text)


def read_json(path: Path) -> Any:
    """Read a file of JSON; to be called within :func:`reading`."""
    return parse_json(path.read_text(encoding='utf-8'))


class _Loader(yaml.SafeLoader):
    """Reads plain data: texts, numbers, lists, tables. Dates stay texts; what is too deep or too large is refused."""

    yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != 'tag:yaml.org,2002:timestamp']
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        #: Values of a node with its aliases written out: tables that repeat tables grow with every level.
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > LIMITS.yaml_depth:
            raise yaml.YAMLError('it is nested too deeply')
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if alias and id(node) not in self._sizes:
            raise yaml.YAMLError('it holds itself')
        size = self._sizes[id(node)] if alias else 1 + sum(self._sizes[id(child)] for child in _children(node))
        if size > LIMITS.yaml_values:
            raise yaml.YAMLError('its aliases repeat too much')
        self._sizes[id(node)] = size
        self._depth -= 1
        return node


def _children(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def parse_yaml(text: str) -> Any:
    """Parse YAML as plain data; raises ValueError, or nearly anything, where it is none."""
    if len(text) > LIMITS.yaml_bytes:
        raise ValueError(f'it has more than {LIMITS.yaml_bytes // 1000} kB')
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def check_nesting(path: Path) -> None:
    """Look at a YAML file that another library will read: raises ValueError where that could take for ever."""
    if path.stat().st_size > LIMITS.foreign_yaml_bytes:
        raise ValueError(f'it has more than {LIMITS.foreign_yaml_bytes // 10**6} MB')
    depth = 0
    for event in yaml.parse(path.read_bytes(), Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > LIMITS.yaml_depth:
            raise RecursionError


def read_text(path: Path) -> str:
    """Read a small text file, no more of it than a file of YAML may have; to be called within :func:`reading`."""
    with path.open('rb') as stream:
        data = stream.read(LIMITS.yaml_bytes + 1)
    return data.decode('utf-8-sig')


def read_yaml(path: Path) -> Any:
    """Read a file of YAML as plain data; to be called within :func:`reading`."""
    return parse_yaml(read_text(path))


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Write a file beside its place, and put it there once it is whole: an error leaves an older one as it was.

    What was written before an interruption is a result too, and so is what there is where no older file would be lost.

    Yields:
        The path to write to: the file's name with ``part`` before its suffix.

    Raises:
        OSError: the file cannot be put in its place.

    """
    path = Path(path)
    part = path.with_name(f'{path.stem}.part{path.suffix}')
    try:
        yield part
    except Exception:
        if path.exists():
            with suppress(OSError):
                part.unlink()
        elif part.exists():
            os.replace(part, path)
        raise
    except BaseException:
        if part.exists():
            os.replace(part, path)
        raise
    if part.exists():
        os.replace(part, path)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file by :func:`writing`."""
    with writing(path) as part:
        part.write_text(text, encoding='utf-8')


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file by :func:`writing`."""
    with writing(path) as part:
        part.write_bytes(data)
