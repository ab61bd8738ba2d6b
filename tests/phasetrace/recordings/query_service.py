"""A query service in small, which answers as Jaeger does, or as something else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.phasetrace.recordings.made import document

Answer = tuple[int, str]
NOT_FOUND: Answer = (404, '{"error":{"httpCode":404,"message":"No traces found"}}')
HTML: Answer = (200, "<!DOCTYPE html>\n<html lang='en'></html>")


class QueryService:
    """Answers on a loopback port; the spans it has can be changed at any time.

    `answer` is asked first, with path and query; what it gives is the answer.
    """

    def __init__(self) -> None:
        self.spans: list[tuple[str, dict[str, Any]]] = []
        """Each with its service."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answer: Callable[[str, dict[str, str]], Answer | None] = lambda path, query: None
        self.headers: list[Any] = []
        """What was asked with, each time."""
        self.redirect: Callable[[str], str | None] = lambda path: None
        self.has_v1 = True
        self.url = ""

    def add(self, *spans: Any, service: str = "program") -> None:
        """Have further spans."""
        self.spans += [(service, span) for span in spans]

    def reply(self, path: str, query: dict[str, str]) -> Answer:
        """Return status and content of an answer."""
        self.asked.append((path, query))
        given = self.answer(path, query)
        if given is not None:
            return given
        if path == "/api/v3/services":
            return 200, json.dumps({"services": sorted({service for service, _ in self.spans})})
        if path.startswith("/api/v3/traces/"):
            return self._traces([path.rpartition("/")[2]])
        if path == "/api/v3/traces":
            name = query.get("query.operation_name")
            ids = self._found(query["query.service_name"], None, name)
            return self._traces(ids[: self._depth(query)])
        if path == "/api/traces" and self.has_v1:
            ids = self._found(query["service"], json.loads(query["tags"]))
            return 200, json.dumps({"data": [{"traceID": one} for one in ids], "errors": None})
        return 404, "404 page not found"

    @staticmethod
    def _depth(query: dict[str, str]) -> int:
        return int(query["query.search_depth"])

    def _found(
        self, service: str, tags: dict[str, str] | None, name: str | None = None
    ) -> list[str]:
        """Return the ids of a service's traces, the newest first."""
        starts: dict[str, int] = {}
        for of, span in self.spans:
            pairs = {pair["key"]: next(iter(pair["value"].values())) for pair in span["attributes"]}
            is_named = name is None or name == span["name"]
            if of == service and is_named and (tags is None or tags.items() <= pairs.items()):
                start = int(span["startTimeUnixNano"])
                starts[span["traceId"]] = min(start, starts.get(span["traceId"], start))
        return sorted(starts, key=lambda id_: -starts[id_])

    def _traces(self, ids: list[str]) -> Answer:
        found = [(service, span) for service, span in self.spans if span["traceId"] in ids]
        if not found:
            return NOT_FOUND
        answers = [
            {"result": document([span], **{"service.name": service})} for service, span in found
        ]
        return 200, "\n".join(map(json.dumps, answers))


@contextmanager
def running() -> Iterator[QueryService]:
    """Run a query service that has nothing yet."""
    service = QueryService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            service.headers.append(self.headers)
            there = service.redirect(self.path)
            if there is not None:
                self.send_response(302)
                self.send_header("Location", there)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            status, content = service.reply(parts.path, query)
            data = content.encode("utf-8", "surrogateescape")
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
