"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.formats import Format, is_compressed

_NEW_FILE = 0o666
"""Less what the umask takes away."""


def write_file(form: Format, exported: ExportedExecution, path: Path) -> None:
    """Write an execution into a file, in the place of one that is there.

    That one stays as it is until the new one is complete, and for good if that is never. What is no
    plain file (a pipe, a device) is written to.

    Raises:
        OSError: if it cannot be written.
        PhasetraceError: if the execution cannot be read, or the format not be written here.
    """
    with _replacing(path) as file:
        if form.is_binary:
            form.write(exported, file)
            return
        if is_compressed(path.name):
            import gzip

            with gzip.open(file, "wt", encoding="utf-8", newline="\n") as compressed:
                compressed.writelines(form.parts(exported))
            return
        with file.open("w", encoding="utf-8", newline="\n") as plain:
            plain.writelines(form.parts(exported))


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give the file to write, which becomes the one at `path` when all is well."""
    path = path.resolve()  # a link goes on to lead to the file
    mode = _mode_of(path)
    if mode is not None and not stat.S_ISREG(mode):
        yield path
        return
    waiting = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    os.close(os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _NEW_FILE))
    try:
        yield waiting
        if mode is not None:
            waiting.chmod(stat.S_IMODE(mode))
        waiting.replace(path)
    except BaseException:
        with suppress(OSError):
            waiting.unlink()
        raise


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
