"""Executions read over Jaeger's query API, and what to say if that is none."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from phasetrace.errors import ConfigError, SourceError, UnknownExecution
from phasetrace.names import PARENT_EXEC_ID
from phasetrace.recordings.assembled import WHOLE_MICROSECONDS
from phasetrace.recordings.http_get import Limits
from phasetrace.recordings.jaeger import JaegerSource
from phasetrace.recordings.opening import open_source
from phasetrace.recordings.query_api import QueryApi, Stretch
from phasetrace.recordings.source import Where
from phasetrace.recordings.usual import usual_of
from tests.phasetrace.recordings.made import S, T, phase, root, span, trace_of
from tests.phasetrace.recordings.query_service import HTML, NOT_FOUND, Answer, QueryService

NOW = T + 20 * S
HOUR = 3_600 * S
EXPECTED = "expected Jaeger's query service, such as http://localhost:16686"


def source(service: QueryService, now: int = NOW) -> JaegerSource:
    """Return the source that a service is, at a time."""
    return JaegerSource(service.url, lambda: now)


def test_an_execution_is_found_by_one_request(service: QueryService) -> None:
    """Its trace's id follows from its own; the trace is asked for as it was sent."""
    service.add(root("e", "nightly"), phase(7, "e", end=3 * S))
    with source(service) as jaeger:
        found = jaeger.find("e")
        breakdown = jaeger.breakdown(found)
        recording = jaeger.recording(found)
        summary = jaeger.summary(found)
    assert (found.name, found.spans, found.duration_ns) == ("nightly", 2, 10 * S)
    assert breakdown.nodes[0].phases[0].total_ns == 3 * S
    assert (len(recording.spans), summary.nodes) == (2, 1)
    assert service.asked == [(f"/api/v3/traces/{trace_of('e')}", {"raw_traces": "true"})]


def test_an_execution_within_another_is_found_in_that_ones_trace(service: QueryService) -> None:
    """By the attribute of its spans; its outer one comes with it."""
    within = {"trace": trace_of("outer"), "parent": 1}
    service.add(
        root("outer"),
        root("e", "inner", **within, **{PARENT_EXEC_ID: "outer"}),
        phase(7, "e", **within),
    )
    jaeger = source(service)
    found = jaeger.find("e")
    assert (found.spans, found.parent_exec_id) == (2, "outer")
    outer = jaeger.find("outer")
    nodes = [node.node_id for node in jaeger.breakdown(outer, rolled_up=True).nodes]
    assert nodes == ["inner", "inner/n"]
    assert [jaeger.within(one) for one in (outer, found)] == [1, 0]


def test_what_knows_its_execution_by_name_only_is_added_from_another_trace(
    service: QueryService,
) -> None:
    """An inner execution's spans may be in two traces."""
    within = {"trace": trace_of("outer"), "parent": 1}
    service.add(root("outer"), root("e", "inner", **within), phase(7, "e", **within))
    service.add(phase(8, "e", "elsewhere"), service="worker")
    assert source(service).find("e").spans == 3


def test_a_trace_id_will_do_if_no_execution_has_it(service: QueryService) -> None:
    """The outermost execution of the trace is meant, or the trace of somebody else's."""
    inner = {"trace": trace_of("e"), "parent": 1, PARENT_EXEC_ID: "e"}
    service.add(root("e"), root("inner", "inner", S, 2 * S, **inner))
    service.add(span(1, "GET /", trace="5b" * 16), service="shop")
    jaeger = source(service)
    assert jaeger.find(trace_of("e")).exec_id == "e"
    assert jaeger.find(trace_of("e").upper()).exec_id == "e"
    foreign = jaeger.find("5b" * 16)
    assert (foreign.exec_id, foreign.name) == ("5b" * 16, "GET /")
    assert jaeger.breakdown(foreign).nodes[0].node_id == "shop"


def test_executions_are_those_of_all_services_newest_first(service: QueryService) -> None:
    """Each once, however many services are in a trace; those found can be looked into."""
    service.add(root("a", "x", 0, S), phase(7, "a", end=S))
    service.add(phase(8, "a", "there", end=S), service="worker")
    service.add(root("b", "y", 2 * S, 3 * S), service="worker")
    jaeger = source(service)
    found = jaeger.executions()
    assert [(one.exec_id, one.spans) for one in found] == [("b", 1), ("a", 3)]
    requests = len(service.asked)
    assert jaeger.breakdown(found[1]).nodes[0].count == 0
    assert len(service.asked) == requests
    assert jaeger.latest().exec_id == "b"
    service.asked.clear()
    assert [one.exec_id for one in jaeger.executions(5, Where(name="x"))] == ["a"]
    assert {query["query.search_depth"] for _, query in service.asked if query} == {"20"}
    for where in (Where(name="x*"), Where(status="ok"), Where(name="x", status="ok")):
        service.asked.clear()
        jaeger.executions(5, where)
        assert {query["query.search_depth"] for _, query in service.asked if query} == {"100"}


def test_the_last_two_days_are_searched_first(service: QueryService) -> None:
    """And more only if there is too little; a start that is asked for is where the search ends."""
    service.add(root("a"), root("b"))
    jaeger = source(service)

    def reaches(search: Callable[[], object]) -> list[str]:
        service.asked.clear()
        search()
        return [
            query["query.start_time_min"]
            for path, query in service.asked
            if path == "/api/v3/traces"
        ]

    two_days, sixty_days = "2023-11-12T22:13:40.000000000Z", "2023-09-15T22:13:40.000000000Z"
    assert reaches(lambda: jaeger.executions(2)) == [two_days]
    assert reaches(lambda: jaeger.executions(3)) == [two_days, sixty_days]
    depths = [query["query.search_depth"] for _, query in service.asked if len(query) > 1]
    assert depths == ["20", "20"]
    since = Where(since_ns=T + 5)
    assert reaches(lambda: jaeger.executions(3, since)) == ["2023-11-14T22:13:20.000000005Z"]


def test_a_storage_that_refuses_a_deep_search_is_asked_for_less(service: QueryService) -> None:
    """A memory store has a limit of its own."""

    def answer(path: str, query: dict[str, str]) -> Answer | None:
        if int(query.get("query.search_depth", 0)) > 10:
            message = "search depth must be greater than 0 and less than max traces"
            return 500, f'{{"error":{{"httpCode":500,"message":"{message}"}}}}'
        return None

    service.add(root("e"))
    service.answer = answer
    assert source(service).latest().exec_id == "e"


@pytest.mark.parametrize(("now", "status"), [(T + 2 * S, "running"), (T + HOUR, "abandoned")])
def test_what_has_no_ended_root_runs_while_something_ends(
    service: QueryService, now: int, status: str
) -> None:
    """The root comes last."""
    service.add(phase(7, "e"))
    assert source(service, now).find("e").status == status


def test_what_is_not_there_is_said_with_what_comes_near(service: QueryService) -> None:
    """Of the latest executions."""
    service.add(root("exec_1"))
    with pytest.raises(UnknownExecution, match="'exec_2' has been recorded; did you mean exec_1"):
        source(service).find("exec_2")


def test_a_service_without_the_api_of_the_interface_will_do(service: QueryService) -> None:
    """Some other backends have the API v3 only."""
    service.has_v1 = False
    service.add(phase(7, "e"))
    assert source(service).find("e").exec_id == "e"
    assert "/api/traces" in {path for path, _ in service.asked}


def test_notes_are_those_of_all_that_was_read(service: QueryService) -> None:
    """Each once."""
    service.add(root("e"), *(phase(7 + i, "e", start=i * 1_000, end=S) for i in range(30)))
    jaeger = source(service)
    assert not jaeger.notes
    jaeger.find("e")
    jaeger.find("e")
    assert jaeger.notes == (WHOLE_MICROSECONDS,)


@pytest.mark.parametrize("page", ["", "/", "/search", "/search?service=x", "/trace/abc"])
def test_the_address_of_a_page_is_that_of_the_service(service: QueryService, page: str) -> None:
    """It is what people have at hand."""
    service.add(root("e"))
    assert JaegerSource(service.url + page).find("e").exec_id == "e"


def test_a_service_may_be_below_a_path() -> None:
    """As behind a proxy."""
    assert QueryApi("https://host/jaeger/").url == "https://host/jaeger"
    assert QueryApi("https://host/jaeger/trace/1").url == "https://host/jaeger"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (HTML, "answers something else than JSON for /api/v3/traces/"),
        ((200, ""), "answers something else than JSON for /api/v3/traces/"),
        ((200, "\udcff"), "answers something else than JSON"),
        ((200, '{"result":'), "answers something else than JSON"),
        ((200, '{"a": 1}'), 'answers no OTLP JSON: it has "a", and no "resourceSpans"'),
        ((404, "404 page not found"), "answers 404 for /api/v3/traces/"),
        ((404, HTML[1]), "answers 404 for /api/v3/traces/"),
        ((404, '{"detail": "Not Found"}'), "answers 404 for /api/v3/traces/"),
        ((401, "who are you"), "answers 401 for /api/v3/traces/"),
        (
            (500, '{"error":{"httpCode":500,"message":"storage is down"}}'),
            "answers an error 500: storage is down",
        ),
        (
            (200, '{"result":{"resourceSpans":[]}}\n{"error":{"message":"cut off"}}'),
            "answers an error: cut off",
        ),
    ],
)
def test_what_answers_something_else_is_no_jaeger(
    service: QueryService, answer: Answer, message: str
) -> None:
    """And is told from one that has no such trace."""
    service.answer = lambda path, query: answer
    with pytest.raises(SourceError, match=re.escape(message)) as error:
        source(service).find("e")
    assert str(error.value).startswith(service.url)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "answer", [(200, "{}"), (200, '{"services": 1}'), NOT_FOUND, (200, "[]"), (200, '{"x"')]
)
def test_services_that_are_none_are_no_jaeger(service: QueryService, answer: Answer) -> None:
    """Whatever else speaks JSON at the place."""
    service.answer = lambda path, query: answer
    with pytest.raises(SourceError, match=re.escape(service.url)):
        source(service).latest()


def test_where_nothing_answers_that_is_said() -> None:
    """With the address and the reason."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(SourceError, match=f"cannot reach {url}: Connection refused; expected"):
            JaegerSource(url).find("e")


@pytest.mark.parametrize(
    "answer", [b"\x00\x00\x12\x04\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b""]
)
def test_what_does_not_speak_http_is_no_jaeger(answer: bytes) -> None:
    """As a port for gRPC does not; nor does what is cut off in the middle."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(SourceError, match=rf"^cannot re\w+ (what )?{url}") as error:
            JaegerSource(url).find("e")
        thread.join()
    assert str(error.value).endswith(EXPECTED)
    assert "\n" not in str(error.value)


def test_what_never_answers_is_waited_for_so_long_only() -> None:
    """The patience is limited."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(SourceError, match="no answer in time"):
            QueryApi(url, limits=Limits(idle_s=0.05)).services()
        assert time.monotonic() - began < Limits().idle_s / 2


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\n\r\n{"])
@pytest.mark.parametrize("pause_s", [0.01, 10])
def test_what_never_ends_is_waited_for_so_long_only(beginning: bytes, pause_s: float) -> None:
    """Also if something comes all the time, be it the content or what is before it."""
    is_over = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            connection.sendall(beginning)
            while not is_over.wait(pause_s):
                connection.sendall(b"HTTP "[:1])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        limits = Limits(idle_s=20, total_s=0.3)
        try:
            began = time.monotonic()
            message = f"{url} takes longer than 0.3 s to answer /api/v3/services"
            with pytest.raises(SourceError, match=re.escape(message)):
                QueryApi(url, limits=limits).services()
            assert time.monotonic() - began < limits.idle_s / 4
        finally:
            is_over.set()
            thread.join()


@pytest.mark.parametrize("size", [1_000, 1_001])
def test_what_is_too_large_is_not_read(service: QueryService, size: int) -> None:
    """To the byte."""
    service.answer = lambda path, query: (200, '{"services": []}'.ljust(size))
    api = QueryApi(service.url, limits=Limits(most_bytes=1_000))
    if size == 1_000:
        assert api.services() == []
        return
    with pytest.raises(SourceError, match=r"answers more than 1,000 bytes for /api/v3/services"):
        api.services()


HIDDEN = "hunter2"


def test_what_is_in_front_of_the_host_is_sent_and_never_shown(service: QueryService) -> None:
    """Neither is what comes behind the address."""
    service.add(root("e"))
    url = service.url.replace("//", f"//me:{HIDDEN}%21@") + f"/search?token={HIDDEN}"
    assert JaegerSource(url).find("e").exec_id == "e"
    expected = base64.b64encode(f"me:{HIDDEN}!".encode()).decode()
    assert {one["Authorization"] for one in service.headers} == {f"Basic {expected}"}
    for answer in (HTML, (500, '{"error":{"message":"x"}}'), (200, '{"a": 1}')):
        service.answer = lambda path, query, answer=answer: answer  # type: ignore[misc]
        with pytest.raises(SourceError) as error:
            JaegerSource(url).find("e")
        assert str(error.value).startswith(f"{service.url} answers ")
        assert HIDDEN not in str(error.value)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for place in (f"127.0.0.1:{unused.getsockname()[1]}", "host:port", "[::1", "[x]", ""):
            with pytest.raises(SourceError) as error:
                open_source(f"http://me:{HIDDEN} {HIDDEN}@{place}").find("e")
            assert HIDDEN not in str(error.value)


def test_headers_of_the_environment_are_sent(
    service: QueryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With commas and spaces as in a URL; what the address says itself counts for more."""
    service.add(root("e"))
    given = f"authorization=Bearer%20{HIDDEN}%2C, x-scope = a=b"
    monkeypatch.setenv("PHASETRACE_SOURCE_HEADERS", given)
    assert open_source(service.url).find("e").exec_id == "e"
    sent = service.headers[-1]
    assert (sent["Authorization"], sent["X-Scope"]) == (f"Bearer {HIDDEN},", "a=b")
    assert open_source(service.url.replace("//", "//me@")).find("e").exec_id == "e"
    assert service.headers[-1]["Authorization"] == "Basic bWU6"
    assert len(service.headers[-1].get_all("Authorization")) == 1


@pytest.mark.parametrize("bad", ["=x", "x", "a b=c", "a=x%0d%0ab", "a=%ff", "a=x,,b", "a=\u20ac"])
def test_headers_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    """And not shown, as any part of them may be secret."""
    monkeypatch.setenv("PHASETRACE_SOURCE_HEADERS", f"k={HIDDEN},{bad}{HIDDEN}")
    with pytest.raises(ConfigError, match="PHASETRACE_SOURCE_HEADERS=…: expected") as error:
        open_source("http://localhost:16686")
    assert HIDDEN not in str(error.value)


def test_a_redirect_is_followed_within_its_origin_only(service: QueryService) -> None:
    """What is sent elsewhere may be secret."""
    service.add(root("e"))
    moved = "/moved/api"
    service.redirect = lambda path: None if path.startswith(moved) else f"/moved{path}"
    service.answer = lambda path, query: (200, '{"services": ["x"]}')
    assert QueryApi(service.url).services() == ["x"]
    for there, origin in [
        (service.url.replace("127.0.0.1", "localhost"), None),
        ("https://elsewhere.test:443/x?y", "https://elsewhere.test"),
        ("//elsewhere.test/", "http://elsewhere.test"),
        ("file:///etc/passwd", "file://"),
    ]:
        service.redirect = lambda path, there=there: there  # type: ignore[misc]
        message = f"{service.url} redirects to {origin or there}, where nothing is sent"
        with pytest.raises(SourceError, match=re.escape(message)):
            QueryApi(service.url).services()
    service.redirect = lambda path: path
    with pytest.raises(SourceError, match="it redirects again and again"):
        QueryApi(service.url).services()


def test_what_is_usual_is_worked_out_of_few_traces(service: QueryService) -> None:
    """All that is asked for are the last runs of that name."""
    for number in range(60):
        service.add(root(f"other {number}", "other", number * S, (number + 1) * S))
    for number in range(30):
        service.add(root(f"run {number}", "of [this]", number * S, (number + 1) * S))
    jaeger = source(service, T + 100 * S)
    found = jaeger.find("run 29")
    service.asked.clear()
    usual = usual_of(jaeger, found)
    assert usual is not None
    assert (usual.runs, usual.median_ns) == (19, S)
    searches = [query for path, query in service.asked if path == "/api/v3/traces"]
    assert [query["query.operation_name"] for query in searches] == ["of [this]"]
    assert [query["query.search_depth"] for query in searches] == ["20"]


def test_a_search_does_not_forget_what_was_found(service: QueryService) -> None:
    """It may find less of an execution than asking for it."""
    within = {"trace": trace_of("outer"), "parent": 1}
    service.add(root("outer"), root("e", "inner", **within), phase(7, "e", **within))
    service.add(phase(8, "e", "elsewhere"), service="worker")
    jaeger = source(service)
    found = jaeger.find("e")
    assert [one.spans for one in jaeger.executions(1, Where(name="inner"))] == [2]
    assert len(jaeger.recording(found).spans) == 3


@pytest.mark.parametrize("url", ["http://", "http://host:port", "http://[::1", "ftp://host"])
def test_what_is_no_address_is_said_at_once(url: str) -> None:
    """Before anything is asked."""
    with pytest.raises(SourceError, match=re.escape(f"{url!r} is no address; {EXPECTED}")):
        JaegerSource(url)


@pytest.mark.parametrize("times", [(-S, 10**30), (0, 1)])
def test_any_stretch_of_time_can_be_asked_for(service: QueryService, times: Any) -> None:
    """What no calendar has is cut."""
    service.add(root("e"))
    assert QueryApi(service.url).search("program", Stretch(*times), 5)
