"""Writing an execution into a file."""

from __future__ import annotations

import io
from pathlib import Path

from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.formats import Format, is_compressed
from phasetrace.whole_file import whole_file


def write_file(form: Format, exported: ExportedExecution, path: Path) -> None:
    """Write an execution into a file, whole or not at all; see `phasetrace.whole_file`.

    Raises:
        OSError: if it cannot be written.
        UsageError: if it is not to be, or the format cannot be written here.
        PhasetraceError: if the execution cannot be read.
    """
    with whole_file(path) as file:
        if form.is_binary:
            form.write(exported, file)
            return
        if is_compressed(path.name):
            import gzip

            with gzip.open(file, "wt", encoding="utf-8", newline="\n") as compressed:
                compressed.writelines(form.parts(exported))
            return
        with io.TextIOWrapper(file, encoding="utf-8", newline="\n") as plain:
            plain.writelines(form.parts(exported))
