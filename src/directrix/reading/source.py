"""A file from outside, with what errors about it say; its bytes and its text, no more than it may have."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from directrix.errors import DirectrixError

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Source:
    """A file or text from outside.

    Args:
        path: where it is; for text from elsewhere, what errors call it.
        error: the type of every error about it.
        expected, remedy: what errors say that it should be, and what to do.
        name: what errors call it; None for its path in quotation marks.
        most: bytes that it may have.
    """

    path: str | PathLike[str]
    error: type[DirectrixError] = DirectrixError
    expected: str = "a file as it was written."
    remedy: str = "check the path."
    name: str | None = None
    most: int = 16 * MEBIBYTE

    def __str__(self) -> str:
        return f"'{self.path}'" if self.name is None else self.name

    def wrong(self, why: str, expected: str = "", remedy: str | None = None) -> DirectrixError:
        """The error that the file is wrong: "'a.json' {why}"."""
        return self.error(
            f"{self} {why.rstrip('.')}.", expected or self.expected, self.remedy if remedy is None else remedy
        )

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Within, an error of the system becomes one about this file."""
        try:
            yield
        except (OSError, ValueError) as problem:
            # A path with a zero byte in it is a ValueError.
            said = getattr(problem, "strerror", None) or problem
            raise self.wrong(f"cannot be read: {said}") from problem

    def check(self) -> int:
        """The size of the file in bytes; an error where it is missing, no plain file, or too large."""
        with self.opening():
            found = os.stat(self.path)
        if not stat.S_ISREG(found.st_mode):
            raise self.wrong(f"cannot be read: it {'is a folder' if stat.S_ISDIR(found.st_mode) else 'is no file'}")
        if found.st_size > self.most:
            size, most = (f"{each / MEBIBYTE:,.0f} MB" for each in (found.st_size, self.most))
            raise self.wrong(f"is too large: {size}", f"at most {most}.")
        return found.st_size

    def content(self) -> bytes:
        """All bytes of the file."""
        self.check()
        with self.opening(), Path(self.path).open("rb") as file:
            return file.read(self.most + 1)[: self.most]

    def text(self) -> str:
        """The file as text in UTF-8, without a mark of byte order; an error names the line of a byte that is none."""
        return self.decoded(self.content())

    def decoded(self, content: bytes) -> str:
        """Bytes of the file as text in UTF-8."""
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            line = content.count(b"\n", 0, problem.start) + 1
            raise self.wrong(
                f"is not UTF-8: line {line} has the byte 0x{content[problem.start]:02x}",
                remedy="save the file as UTF-8.",
            ) from problem
