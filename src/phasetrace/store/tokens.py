"""How many tokens the calls of executions have taken, read again and again while they run."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from phasetrace.store.blocks import messages
from phasetrace.store.details import DetailsReader

if TYPE_CHECKING:
    from phasetrace.store.reader import StoreReader

_USAGE: Final = b"gen_ai.usage."


class TokenCount:
    """Adds up what spans say that they took, as ``top`` does. For one thread.

    Reads only what is new each time, and of that only blocks in which a span says so: to find them
    is SQLite's work, during which the interpreter is free.
    """

    def __init__(self) -> None:
        self._block = 0
        self._by_execution: dict[str, int] = {}
        self._details = DetailsReader(with_metadata=False)

    def read(self, reader: StoreReader, exec_ids: Collection[str], since_ns: int) -> int:
        """Return the tokens of these executions that began at `since_ns` or later, so far.

        Raises:
            StoreError: if the store cannot be read.
        """
        with reader._one_moment():  # or a block could come in between, and be missed
            found = reader._connection.execute(
                "SELECT e.exec_id, b.spans, b.columns, b.payload FROM executions e"
                " JOIN streams s ON s.execution = e.id JOIN blocks b ON b.stream = s.id"
                " WHERE e.started_ns >= ? AND b.seq > ? AND instr(b.payload, ?) ORDER BY b.seq",
                (since_ns, self._block, _USAGE),
            ).fetchall()
            last = reader._connection.execute("SELECT max(seq) FROM blocks").fetchone()[0]
        self._block = last or 0  # now: what is damaged is not to be read again and again
        for exec_id, spans, columns, payload in found:
            for message in messages(spans, columns, payload):
                usage = self._details.read(message).usage
                if usage is not None:
                    tokens = usage.input_tokens + usage.output_tokens
                    self._by_execution[exec_id] = self._by_execution.get(exec_id, 0) + tokens
        return sum(self._by_execution.get(one, 0) for one in exec_ids)
