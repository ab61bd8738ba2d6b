"""Which formats there are, what files in them are called, and what writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from phasetrace.errors import UsageError

if TYPE_CHECKING:
    from phasetrace.exports.exported import ExportedExecution

_COMPRESSED: Final = ".gz"


class Format(NamedTuple):
    """A format: its name, what its files end in, and the function that makes it.

    That takes an `ExportedExecution` and gives the text in parts; of a binary one it takes the
    file as well, and writes it. ``note`` is what a reader of the file has to know; ``only_ended``
    says that it has no place for a span that has not ended.
    """

    name: str
    endings: tuple[str, ...]
    module: str
    function: str
    what: str
    is_binary: bool = False
    note: str = ""
    only_ended: bool = False

    def parts(self, exported: ExportedExecution) -> Iterator[str]:
        """Give the file in parts, each of them of whole lines or events."""
        make: Callable[[ExportedExecution], Iterator[str]] = self._function()
        return make(exported)

    def write(self, exported: ExportedExecution, file: BinaryIO) -> None:
        """Write a file in a binary format."""
        self._function()(exported, file)

    def _function(self) -> Any:
        # Imported when it is called: nobody has to wait for all formats to get one.
        return getattr(import_module(f"phasetrace.exports.{self.module}"), self.function)


FORMATS: Final = (
    Format(
        "otlp", (".jsonl", ".jsonl.gz"), "otlp", "otlp_lines", "OTLP JSON lines", only_ended=True
    ),
    Format("chrome", (".trace.json",), "chrome", "chrome_parts", "Perfetto, chrome://tracing"),
    Format("speedscope", (".speedscope.json",), "speedscope", "speedscope_parts", "speedscope.app"),
    Format(
        "folded",
        (".folded", ".txt"),
        "folded",
        "folded_lines",
        "folded stacks, for flame graphs",
        note="numbers are self times in nanoseconds (flamegraph.pl --countname=ns)",
    ),
    Format("csv", (".csv",), "csv_file", "csv_lines", "a row a span"),
    Format(
        "parquet", (".parquet",), "parquet", "write_parquet", "the same in Apache Parquet", True
    ),
    Format("markdown", (".md",), "markdown", "markdown_lines", "a report, for GitHub and others"),
    Format("mermaid", (".mmd",), "gantt", "gantt_lines", "a Gantt chart in Mermaid"),
)
NAMES: Final = tuple(one.name for one in FORMATS)


def format_of(file: str | None, asked: str | None) -> Format:
    """Return the format that is asked for, or that a file's name ends in.

    Raises:
        UsageError: if there is neither; names all formats.
    """
    if asked is not None:
        return next(one for one in FORMATS if one.name == asked)
    name = file.lower() if file is not None else ""
    for one in FORMATS:
        if name.endswith(one.endings):
            return one
    known = ", ".join(f"{' '.join(one.endings)} ({one.name})" for one in FORMATS)
    if file is None:
        raise UsageError(f"say in what format: --format {'|'.join(NAMES)}, or -o FILE with {known}")
    raise UsageError(f"-o {file}: its ending tells no format; expected {known}, or --format")


def is_compressed(file: str) -> bool:
    """Tell whether a file of that name is to be compressed by gzip."""
    return file.lower().endswith(_COMPRESSED)
