"""OTLP bytes: what is stored of a span, and what is sent; in pure Python, without protobuf.

Reading spans back needs the SDK, and is to be had from `phasetrace.wire.decoding`.
"""

from phasetrace.protobuf.reading import MalformedMessage
from phasetrace.wire.encoding import (
    encode_plain,
    encode_readable,
    encode_resource,
    encode_scope,
    encode_span,
    plain_end,
)
from phasetrace.wire.framing import Block, frame, frame_blocks, unframe
from phasetrace.wire.stored import EncodedSpan, encode

__all__ = [
    "Block",
    "EncodedSpan",
    "MalformedMessage",
    "encode",
    "encode_plain",
    "encode_readable",
    "encode_resource",
    "encode_scope",
    "encode_span",
    "frame",
    "frame_blocks",
    "plain_end",
    "unframe",
]
