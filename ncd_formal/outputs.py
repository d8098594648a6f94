"""Files and folders that a long run will write: checked before it starts, whole when it ends.

Both classes here are context managers.  Entering one tries the place out by making something
beside the result, so that a path that cannot be written is known before the work and not after
it.  ``write`` then moves the finished result into place; leaving without it changes nothing.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from ncd_formal.errors import InputError


class PendingFile:
    """A file that is written at once or not at all; one that stood there before is replaced.

    Raises:
        InputError: on entering, where ``path`` is a folder, a device or write-protected, or lies
            in a folder that does not exist or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._named = path
        self._path = path
        self._partial = path

    def __enter__(self) -> Self:
        with _told_of(self._named):
            if self._named.is_dir():
                raise InputError(f"{self._named} is a folder: name a file to write")
            self._path = self._named.resolve()  # through a link, to what it stands for
            if not self._path.parent.is_dir():
                raise InputError(f"the folder {self._named.parent} does not exist")
            if self._path.exists():
                if not self._path.is_file():
                    raise InputError(f"{self._named} is not a regular file")
                if not os.access(self._path, os.W_OK):
                    raise InputError(f"{self._named} cannot be written: it is write-protected")
            name = f".ncd-{secrets.token_hex(8)}{self._path.suffix}"
            self._partial = self._path.with_name(name)
            self._partial.touch(exist_ok=False)
        return self

    def write(self, save: Callable[[Path], object]) -> None:
        """Has ``save`` write a file beside the result, and puts it into place.

        Raises:
            InputError: the file system refuses.
        """
        with _told_of(self._named):
            save(self._partial)
            self._partial.replace(self._path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._partial.unlink(missing_ok=True)


class PendingFolder:
    """A folder that is filled at the end, file by file; other files in it are left alone.

    Raises:
        InputError: on entering, where ``path`` is a file, or cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        with _told_of(self._path):
            if self._path.exists() and not self._path.is_dir():
                raise InputError(f"{self._path} is a file: name a folder to write to")
            self._made = [
                folder for folder in (self._path, *self._path.parents) if not folder.exists()
            ]
            self._path.mkdir(parents=True, exist_ok=True)
            self._partial = self._path / f".ncd-{secrets.token_hex(8)}"
            self._partial.mkdir()
        return self

    def write(self, save: Callable[[Path], object]) -> tuple[Path, ...]:
        """Has ``save`` fill a folder beside the result, and moves its files into place.

        Returns:
            The files that were written, in order of name.

        Raises:
            InputError: the file system refuses.
        """
        written: list[Path] = []
        with _told_of(self._path):
            save(self._partial)
            for file in sorted(self._partial.rglob("*")):
                if file.is_file():
                    place = self._path / file.relative_to(self._partial)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    file.replace(place)
                    written.append(place)
        return tuple(written)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        for folder in self._made:  # innermost first
            try:
                folder.rmdir()
            except OSError:  # it holds the result
                break


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Turns what the file system refuses into one line about the path that the user named."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
