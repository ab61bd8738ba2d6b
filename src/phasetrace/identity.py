"""Ids: how an execution finds its trace.

The trace id and the root span id of an execution are hashes of its ``exec_id``. Whoever knows the
``exec_id`` therefore knows the trace, in any process, on any machine and in any backend, without
asking anyone.
"""

from __future__ import annotations

import os
import time


def trace_id_of(exec_id: str) -> int:
    """Return the 128-bit trace id of an execution (never 0, which OpenTelemetry calls invalid)."""
    return _digest(exec_id, b"phasetrace.trace", 16)


def root_span_id_of(exec_id: str) -> int:
    """Return the 64-bit id of an execution's root span (never 0)."""
    return _digest(exec_id, b"phasetrace.root", 8)


def new_exec_id(name: str = "exec") -> str:
    """Return a fresh execution id that sorts by the second and is unlikely to be met twice.

    White space in the name becomes ``_``, so that a command line takes the id without quotes.
    """
    written = "_".join(name.split()) or "exec"
    return f"{written}_{time.strftime('%Y%m%d_%H%M%S')}_{os.urandom(3).hex()}"


def _digest(exec_id: str, purpose: bytes, size: int) -> int:
    from hashlib import blake2b  # loads OpenSSL, which an import of phasetrace can do without

    # Lone surrogates are legal in a str; "surrogatepass" keeps two such ids apart.
    data = exec_id.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=size, person=purpose[:16]).digest(), "big") or 1
