"""A program that records one execution as an agent makes it: calls of models and tools, one failed.

Usage: ``agent_program.py EXEC_ID``. What it records is the same every time, but for ids and times:
`SPANS` spans. Attributes of `gen_ai.*` are those of OpenTelemetry's semantic conventions
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/), those of the execution are
OpenInference's (https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md).
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

from opentelemetry.trace import Span

from phasetrace import execution, node, phase

NAME: Final = "answer a question"
MODEL: Final = "small-model"
CHAT: Final[dict[str, Any]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": MODEL,
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.stop_sequences": ["\n\n"],
}
TOOL: Final[dict[str, Any]] = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "search",
    "gen_ai.tool.type": "function",
}
QUESTION: Final = "Wie spät ist es? 🕰"
ANSWER: Final = "Halb elf."
ASKED: Final[dict[str, Any]] = {
    "openinference.span.kind": "AGENT",
    "input.value": QUESTION,
    "session.id": "a session",
    "user.id": "ada",
}
SPANS: Final = 13
TOKENS: Final = 3 * 120, 3 * 30
"""Of input and output, of all calls of the model that answered."""
FAILURE: Final = "rate limit reached:\ntry again"


def message(role: str, text: str, **more: str) -> str:
    """Return one message in the form of the conventions, as JSON."""
    parts = [{"type": "text", "content": text}]
    return json.dumps([{"role": role, "parts": parts, **more}])


def work() -> None:
    """Take a millisecond, so that it can be seen."""
    until_ns = time.perf_counter_ns() + 1_000_000
    while time.perf_counter_ns() < until_ns:
        pass


def answered(span: Span, text: str) -> None:
    """Say what a model has answered with, and what that took."""
    span.set_attribute("gen_ai.input.messages", message("user", QUESTION))
    span.set_attribute("gen_ai.output.messages", message("assistant", text, finish_reason="stop"))
    span.set_attribute("gen_ai.response.model", f"{MODEL}-2026")
    span.set_attribute("gen_ai.usage.input_tokens", 120)
    span.set_attribute("gen_ai.usage.output_tokens", 30)


def main(exec_id: str) -> None:
    """Record the execution."""
    with execution(exec_id, name=NAME, **ASKED) as root:
        with node("plan", "llm"), phase("llm_completion", **CHAT) as span:
            work()
            answered(span, "Look at a clock.")
        with node("search", "tool", depends_on=["plan"]), phase("call", **TOOL) as span:
            work()
            span.add_event("found", {"results": 3, "best": 0.75})
        for iteration in range(2):
            with node("write", "llm", iteration=iteration, depends_on=["search"]):
                with phase(
                    "prompt_building", parts=("question", "results"), cached=bool(iteration)
                ):
                    work()
                try:
                    with phase("llm_completion", **CHAT) as span:
                        work()
                        if not iteration:
                            raise TimeoutError(FAILURE)
                        answered(span, ANSWER)
                except TimeoutError:
                    pass
        with node("check", "llm"), phase("llm_completion", **CHAT) as span:
            work()
            answered(span, "Yes.")
        root.set_attribute("output.value", ANSWER)


if __name__ == "__main__":
    main(sys.argv[1])
