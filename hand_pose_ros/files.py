"""Files that others made: read as plain data or refused in one line; and results, written so that an old one stays
until the new one is whole.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True)
class FileLimits:
    """What files may hold at most, so that a small one cannot fill the memory or keep a processor busy."""

    #: Bytes of a YAML file: calibrations have a few thousand, and a parser in Python takes seconds a megabyte.
    yaml_bytes: int = 200_000
    #: The same where another library reads it: that of a recording describes every topic in a thousand bytes.
    foreign_yaml_bytes: int = 500_000
    #: Values of such a file, of which a topic takes a hundred: that library reads 25 000 a second.
    foreign_yaml_values: int = 40_000
    #: Levels of lists and tables in one another in YAML.
    yaml_depth: int = 40
    #: Values of a YAML file with its aliases written out.
    yaml_values: int = 100_000
    #: Bytes of a JSON file: data sets keep the joints of a million images in one.
    json_bytes: int = 2_000_000_000
    #: Bytes of an image file: 64 megapixels of color that are not compressed take 200 MB.
    image_bytes: int = 250_000_000
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


def check_regular(path: Path) -> None:
    """Raise OSError where a path leads to a pipe or a device: to open or to read these can take for ever."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, 'it is a pipe or a device; give a file')


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read its bytes; raises OSError where it is none."""
    check_regular(path)
    return path.open('rb')


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file of at most so many bytes; raises OSError where it is none, or has more."""
    with open_regular(path) as stream:
        # To read so many bytes takes room for all of them at first, whatever there is.
        data = stream.read(min(most, os.fstat(stream.fileno()).st_size) + 1)
    if len(data) > most:
        size = f'{most // 10**6} MB' if most >= 10**6 else f'{most // 1000} kB'
        raise OSError(errno.EFBIG, f'it has more than {size}')
    return data


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; raises ValueError or RecursionError where it is none."""
    return json.loads(text)


def read_json(path: Path) -> Any:
    """Read a file of JSON; to be called within :func:`reading`."""
    return parse_json(read_bytes(path, LIMITS.json_bytes).decode('utf-8'))


@lru_cache(maxsize=1)
def _loader() -> Any:
    """Return the class that reads YAML here. Its library is loaded by who reads some: the others do without."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads plain data: texts, numbers, lists, tables. Dates stay texts; too deep or too large ones are refused."""

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

    return Loader


def _children(node: Any) -> list[Any]:
    """Return the nodes in a node of YAML; the value of one without any is a text."""
    if not isinstance(node.value, list):
        return []
    return [part for one in node.value for part in (one if isinstance(one, tuple) else (one,))]


def parse_yaml(text: str) -> Any:
    """Parse YAML as plain data; raises ValueError, or nearly anything, where it is none."""
    if len(text) > LIMITS.yaml_bytes:
        raise ValueError(f'it has more than {LIMITS.yaml_bytes // 1000} kB')
    loader = _loader()(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def check_foreign_yaml(path: Path) -> None:
    """Look at a YAML file that another library will read: raises ValueError where that could take for ever."""
    import yaml

    text = read_bytes(path, LIMITS.foreign_yaml_bytes).decode('utf-8')
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > LIMITS.yaml_depth:
            raise RecursionError
        if number > LIMITS.foreign_yaml_values:
            raise ValueError(f'it has more than {LIMITS.foreign_yaml_values} values')
        # A few of them in one another stand for more than any memory holds.
        if getattr(event, 'anchor', None) or getattr(event, 'value', '') == '<<':
            raise ValueError('it repeats itself by anchors (&, *) or merges tables (<<); write the values out')


def read_text(path: Path) -> str:
    """Read a small text file, no more of it than a file of YAML may have; to be called within :func:`reading`."""
    return read_bytes(path, LIMITS.yaml_bytes).decode('utf-8-sig')


def read_yaml(path: Path) -> Any:
    """Read a file of YAML as plain data; to be called within :func:`reading`."""
    return parse_yaml(read_text(path))


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Write a file beside its place, and put it there once it is whole: an error leaves an older one as it was.

    What was written before an interruption is a result too, unless it is nothing; and so is what there is where no
    older file would be lost.

    Yields:
        The path to write to: the file's name with ``part`` before its suffix.

    Raises:
        OSError: the file cannot be put in its place.

    """
    path = Path(path)
    part = path.with_name(f'{path.stem}.part{path.suffix}')
    try:
        yield part
    except BaseException as error:
        interrupted = not isinstance(error, Exception)
        if path.exists() and not (interrupted and part.exists() and part.stat().st_size):
            with suppress(OSError):
                part.unlink()
        elif part.exists():
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
