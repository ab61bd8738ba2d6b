"""Exporters: found by name whoever installed them, each with its feed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from phasetrace.errors import ConfigError
from phasetrace.exporting import GROUP, begin_flush, end_flush, make_outlets, shut_down
from phasetrace.feed import Feed
from phasetrace.otlp_attempt import configured_timeout_s
from phasetrace.settings import Settings, settings_from

HIDDEN = "hunter2"
LONG_S = 60.0


class Recorded:
    """An exporter that keeps what it was made with."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.ended = False

    def export(self, spans: object) -> SpanExportResult:
        """Take everything."""
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Note it."""
        self.ended = True


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that installs exporters, each under its name, and no others."""

    class Point:
        def __init__(self, name: str, factory: Callable[..., Any]) -> None:
            self.name = name
            self.load = lambda: factory

    def install(**factories: Callable[..., Any]) -> None:
        points = [Point(name, factory) for name, factory in factories.items()]
        monkeypatch.setattr("phasetrace.exporting.entry_points", lambda group: points)

    return install


def make_feeds(settings: Settings) -> list[Feed]:
    """Return feeds of the exporters that settings name."""
    return [outlet.feed() for outlet in make_outlets(settings)]


def force_flush(feeds: list[Feed], timeout_s: float) -> bool:
    """Flush feeds as a flush of everything does."""
    return end_flush(begin_flush(feeds, timeout_s))


def made(*exporters: Any, **given: Any) -> list[Any]:
    """Return the exporters that settings make, without their feeds."""
    settings = settings_from({}, store=False, exporters=exporters, **given)
    return [feed.exporter for feed in make_feeds(settings)]


@pytest.mark.parametrize("name", ["otlp", "otlp_proto_http", "otlp_proto_grpc", "console"])
def test_the_standard_names_are_installed(name: str) -> None:
    """What the specification names, and its packages install, can be made."""
    (exporter,) = made(name)
    exporter.shutdown()


def test_the_case_of_a_name_does_not_matter(install: Callable[..., None]) -> None:
    """Unless there are two that differ by nothing else: then it is taken as it stands."""
    install(Mine=Recorded, twin=Recorded, Twin=Recorded)
    assert [one.name for one in make_outlets(settings_from({}, exporters="MINE,Twin"))] == [
        "Mine",
        "Twin",
    ]
    with pytest.raises(ConfigError, match="no such exporter is installed"):
        make_outlets(settings_from({}, exporters="TWIN"))


def test_a_name_of_the_specification_s_may_be_somebody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of exactly that name comes first."""
    point = EntryPoint("OTLP", "nowhere", GROUP)
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group, name: [point] if name == "OTLP" else []
    )
    assert settings_from({"OTEL_TRACES_EXPORTER": "OTLP,Console"}).exporters == ("OTLP", "console")


@pytest.mark.parametrize(
    "values",
    [
        {"COMPRESSION": "brotli", "TIMEOUT": "abc", "TRACES_TIMEOUT": "-1"},
        {"COMPRESSION": "", "TIMEOUT": "", "TRACES_TIMEOUT": " ", "TRACES_COMPRESSION": ""},
        {"TRACES_COMPRESSION": "brotli", "COMPRESSION": "none"},
    ],
)
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_values_that_cannot_be_used_keep_no_exporter_from_being_made(
    protocol: str,
    values: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The official one for gRPC raises otherwise, that for HTTP logs what names no variable."""
    for name, value in values.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    (exporter,) = made("otlp", protocol=protocol)
    assert configured_timeout_s(exporter) == 10
    if hasattr(exporter, "_compression"):  # not in all releases
        assert exporter._compression.name.lower() in ("none", "nocompression")
    assert caplog.records == []
    exporter.shutdown()


@pytest.mark.parametrize(("protocol", "module"), [("http/protobuf", ".http."), ("grpc", ".grpc.")])
def test_the_protocol_chooses_the_transport(protocol: str, module: str) -> None:
    """``otlp`` is the official exporter for the protocol."""
    (exporter,) = made("otlp", protocol=protocol)
    assert module in type(exporter).__module__
    exporter.shutdown()


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("http://h:4318", "http://h:4318/v1/traces"),
        ("http://h:4318/", "http://h:4318/v1/traces"),
        ("http://h/base", "http://h/base/v1/traces"),
        ("http://h/v1/traces", "http://h/v1/traces"),
    ],
)
def test_an_http_endpoint_is_completed(
    install: Callable[..., None], endpoint: str, address: str
) -> None:
    """A base gets the path that the specification has for traces."""
    install(otlp_proto_http=Recorded)
    (exporter,) = made("otlp", endpoint=endpoint)
    assert exporter.arguments == {"endpoint": address}


def test_a_grpc_endpoint_is_left_as_it_is(install: Callable[..., None]) -> None:
    """An endpoint of gRPC has no path."""
    install(otlp_proto_grpc=Recorded)
    (exporter,) = made("otlp", endpoint="http://h:4317", protocol="grpc")
    assert exporter.arguments["endpoint"] == "http://h:4317"


def test_the_environments_endpoint_is_the_exporters_to_read(install: Callable[..., None]) -> None:
    """Endpoint, headers and TLS of the environment are not touched by us."""
    install(otlp_proto_http=Recorded)
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}
    (feed,) = make_feeds(settings_from(environ))
    assert feed.exporter.arguments == {}


def test_console_is_the_tree_if_that_is_installed(install: Callable[..., None]) -> None:
    """Our console exporter takes the place of the SDK's."""
    install(console=lambda: "SDK", phasetrace_console=lambda: "tree")
    assert made("console") == ["tree"]


def test_console_is_the_sdks_otherwise(install: Callable[..., None]) -> None:
    """Without phasetrace's exporters the SDK's console is used."""
    install(console=lambda: "SDK")
    assert made("console") == ["SDK"]


def test_console_is_installed_as_a_tree() -> None:
    """The distribution registers its console exporter."""
    assert "phasetrace_console" in {point.name for point in entry_points(group=GROUP)}


def test_somebody_elses_exporter_is_found(install: Callable[..., None]) -> None:
    """Any name in the group can be used."""
    install(theirs=Recorded)
    (exporter,) = made("theirs")
    assert exporter.arguments == {}


def test_an_unknown_name_is_answered_with_those_there_are(install: Callable[..., None]) -> None:
    """The message names the installed exporters."""
    install(theirs=Recorded, mine=Recorded)
    with pytest.raises(ConfigError) as refused:
        made("thiers")
    assert str(refused.value) == (
        "exporters='thiers': no such exporter is installed; there are mine, none, otlp, theirs"
    )


def test_nothing_is_made_if_a_name_is_unknown(install: Callable[..., None]) -> None:
    """Names are looked at before exporters are made, which may connect."""
    calls: list[str] = []
    install(mine=lambda: calls.append("made"))
    with pytest.raises(ConfigError):
        made("mine", "thiers")
    assert calls == []


def test_an_exporter_that_cannot_be_made_is_told_without_secrets(
    install: Callable[..., None],
) -> None:
    """The message names the exporter and the reason, but no password; the others are ended."""
    fine = Recorded()

    def broken() -> None:
        raise ValueError(f"cannot connect to http://me:{HIDDEN}@host:4318")

    install(mine=lambda: fine, broken=broken)
    given = Recorded()
    with pytest.raises(ConfigError) as refused:
        made(given, "mine", "broken")
    assert (fine.ended, given.ended) == (True, False)
    assert str(refused.value) == (
        "cannot make the exporter 'broken': ValueError: cannot connect to http://…@host:4318"
    )
    assert refused.value.__suppress_context__  # the trace does not show the cause either


def test_an_exporter_given_as_such_is_used_as_it_is() -> None:
    """No entry point is needed, and none is looked for."""
    exporter = Recorded()
    assert made(exporter) == [exporter]


@pytest.mark.parametrize(
    ("environ", "name", "delay_s"),
    [
        ({}, "mine", 5.0),
        ({}, "phasetrace_console", 0.2),
        ({"OTEL_BSP_SCHEDULE_DELAY": "1000"}, "phasetrace_console", 1.0),
    ],
)
def test_the_terminal_is_written_to_without_delay(
    install: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    name: str,
    delay_s: float,
) -> None:
    """Unless the variable says how long, somebody is looking at it."""
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    install(**{name: Recorded})
    (feed,) = make_feeds(settings_from({}, store=False, exporters=[name]))
    assert (feed.name, feed._delay_s) == (name, delay_s)


def test_bad_limits_are_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However many exporters there are."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    feeds = make_feeds(settings_from({}, store=False, exporters=[Recorded(), Recorded()]))
    assert [feed.limit for feed in feeds] == [65_536] * 2
    assert len(caplog.records) == 1


class Hanging(Recorded):
    """An exporter that does not answer before all others hang, too, or it is let go on."""

    def __init__(self, together: threading.Barrier, go_on: threading.Event) -> None:
        super().__init__()
        self._together = together
        self._go_on = go_on

    def export(self, spans: object) -> SpanExportResult:
        """Hang."""
        self._together.wait(LONG_S)
        assert self._go_on.wait(LONG_S)
        return SpanExportResult.SUCCESS


@pytest.fixture
def hanging() -> Iterator[list[Feed]]:
    """Return three feeds that have something for an exporter that will hang."""
    together, go_on = threading.Barrier(3), threading.Event()
    feeds = [Feed("mine", Hanging(together, go_on)) for _ in range(3)]
    for feed in feeds:
        feed.take([ReadableSpan("s")])
    yield feeds
    go_on.set()
    shut_down(feeds, LONG_S)


@pytest.mark.parametrize("end", [force_flush, shut_down])
def test_feeds_are_waited_for_side_by_side(
    hanging: list[Feed], end: Callable[[list[Feed], float], bool | None]
) -> None:
    """Each has all the time there is, and together they take no longer."""
    started = time.monotonic()
    assert not end(hanging, 1.0)
    assert 1.0 <= time.monotonic() - started < 2.0  # one after the other it would be 3
    assert [feed.in_flight for feed in hanging] == [1, 1, 1]


def test_feeds_that_answer_are_flushed() -> None:
    """Nothing to wait for is an answer, too."""
    feeds = [Feed("mine", Recorded()) for _ in range(3)]
    feeds[1].take([ReadableSpan("s")])
    assert force_flush(feeds, LONG_S)
    shut_down(feeds, LONG_S)
    assert [feed.exporter.ended for feed in feeds] == [True] * 3
    assert [feed.delivered for feed in feeds] == [0, 1, 0]


@pytest.mark.parametrize(
    ("endpoint", "is_insecure"), [("http://h:4317", True), ("https://h:4317", False)]
)
def test_grpc_is_told_whether_to_speak_tls(
    install: Callable[..., None], endpoint: str, is_insecure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the scheme, whatever INSECURE says; with credentials made of files that can be used."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_INSECURE", "false" if is_insecure else "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/no/such")  # and no key
    install(otlp_proto_grpc=Recorded)
    (exporter,) = made("otlp", endpoint=endpoint, protocol="grpc")
    assert exporter.arguments["insecure"] is is_insecure
    assert ("credentials" in exporter.arguments) is not is_insecure


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_headers_that_cannot_be_read_are_told_once(
    protocol: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By their variable and place, and not by OpenTelemetry's parser, which shows them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", f"a=1,key={HIDDEN};v")
    for _ in range(2):
        (exporter,) = made("otlp", protocol=protocol)
        assert "a" in str(vars(getattr(exporter, "_client", exporter)).get("_headers", "a"))
        exporter.shutdown()
    (record,) = caplog.records
    assert record.name == "phasetrace"
    assert "OTEL_EXPORTER_OTLP_TRACES_HEADERS: part 2 of 2 cannot be read" in record.getMessage()
    assert HIDDEN not in caplog.text


def test_an_exporter_that_cannot_be_made_shows_no_header(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it says of it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"key={HIDDEN},other={HIDDEN}x;")

    def refuse(**_: Any) -> Any:
        raise ValueError(f"bad {HIDDEN} and {HIDDEN}x;")

    install(otlp_proto_http=refuse)
    with pytest.raises(ConfigError) as refused:
        made("otlp")
    assert HIDDEN not in str(refused.value)


def _key(**given: Any) -> str:
    settings = settings_from(exporters="otlp", **given)
    (outlet,) = make_outlets(settings, makes=False)
    assert outlet.spec is not None
    return outlet.spec.key


def test_one_who_sends_by_another_certificate_is_another_destination(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """What one tenant has recorded is not sent in another one's name; who has none stays."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h:4318")
    monkeypatch.setenv("PHASETRACE_STORE", str(tmp_path / "traces.db"))
    plain = _key()
    assert plain == "otlp_proto_http https://h:4318/v1/traces"
    keys = {plain}
    for name in ("me.pem", "you.pem"):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(tmp_path / name))
        keys.add(_key())
        (tmp_path / name).write_text("renewed")
        keys.add(_key())
    assert len(keys) == 3


def test_a_key_stays_what_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Spans wait for it; whom one trusts, and the way there, are not in it."""
    monkeypatch.setenv("PHASETRACE_STORE", str(tmp_path / "traces.db"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:word@h:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "authority.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    assert _key() == "otlp_proto_http https://…@h:4318/v1/traces #0368b5c0196c"
