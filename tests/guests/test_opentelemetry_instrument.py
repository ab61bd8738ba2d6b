"""Under ``opentelemetry-instrument``, with our distro, another one, none, and a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from .claims import assert_kept, assert_quiet, assert_right_at_the_host, assert_right_locally
from .environment import with_our_distro_first, without_the_distro
from .process import Outcome, instrument, run

_OURS = "phasetrace.provider.TracerProvider"
_SDKS = "opentelemetry.sdk.trace.TracerProvider"
_QUIET_SIGNALS = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
_NO_EXPORTERS = {**_QUIET_SIGNALS, "OTEL_TRACES_EXPORTER": "none"}
_OUR_DISTRO = {"OTEL_PYTHON_DISTRO": "phasetrace"}
_CONSOLE = {**_QUIET_SIGNALS, "OTEL_TRACES_EXPORTER": "console"}
_FILE = """\
file_format: "1.0"
tracer_provider:
  processors:
    - simple:
        exporter:
          console: {}
"""


@pytest.fixture(scope="module")
def no_distro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment without opentelemetry-distro."""
    return without_the_distro(tmp_path_factory.mktemp("environments") / "no-distro")


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    """Return the path of an OpenTelemetry configuration file."""
    path = tmp_path / "otel.yaml"
    path.write_text(_FILE, encoding="utf-8")
    return str(path)


def assert_right(outcome: Outcome) -> None:
    """Assert what is true whoever the host is."""
    assert_quiet(outcome)
    assert_right_locally(outcome)
    assert_right_at_the_host(outcome)


@pytest.mark.parametrize("other_installed", [True, False])
def test_our_distro_has_the_provider_ours(
    tmp_path: Path, no_distro: Path, other_installed: bool
) -> None:
    """It is there before the program, whether or not opentelemetry-distro is installed."""
    python = None if other_installed else no_distro
    outcome = run(
        tmp_path,
        *("listen", "work"),
        command=instrument(python),
        python=python,
        env={**_NO_EXPORTERS, **_OUR_DISTRO},
    )
    assert outcome.seen["loaded_before"]
    assert_kept(outcome, _OURS)
    assert_right(outcome)


def test_what_was_asked_for_stays(tmp_path: Path) -> None:
    """An application's own provider comes too late, as it does for any distro's."""
    outcome = run(
        tmp_path,
        *("early", "sdk", "work"),
        command=instrument(),
        env={**_NO_EXPORTERS, **_OUR_DISTRO},
    )
    assert outcome.seen["provider"] == _OURS
    assert outcome.errors == "Overriding of current TracerProvider is not allowed\n"  # the API's
    assert_right(outcome._replace(errors=""))


def test_our_distro_is_not_chosen_by_being_the_only_one(tmp_path: Path, no_distro: Path) -> None:
    """Without the variable nothing of ours is set up, and phases set themselves up as ever."""
    outcome = run(
        tmp_path,
        *("work",),
        command=instrument(no_distro),
        python=no_distro,
        env=_NO_EXPORTERS,
    )
    assert not outcome.seen["loaded_before"]
    assert not outcome.seen["had_a_host"]
    assert outcome.seen["provider"] == _OURS  # the first phase's
    assert_quiet(outcome)
    assert_right_locally(outcome)


def test_our_distro_is_not_chosen_by_being_the_first(tmp_path: Path) -> None:
    """Without the variable the next one is taken, and its configurator's provider is used."""
    outcome = run(
        tmp_path,
        *("work",),
        command=instrument(),
        env={**_CONSOLE, "PYTHONPATH": with_our_distro_first(tmp_path / "first")},
    )
    assert not outcome.seen["loaded_before"]
    assert_kept(outcome, _SDKS)
    assert_right(outcome)


def test_another_distro_brings_its_provider(tmp_path: Path) -> None:
    """Phases go through what opentelemetry-distro's configurator has set up."""
    outcome = run(tmp_path, "work", command=instrument(), env=_CONSOLE)
    assert not outcome.seen["loaded_before"]
    assert_kept(outcome, _SDKS)
    assert_right(outcome)


@pytest.mark.parametrize("distro", [{}, _OUR_DISTRO], ids=["none", "ours"])
def test_a_file_says_what_the_provider_is(
    tmp_path: Path, configuration: str, distro: dict[str, str]
) -> None:
    """``OTEL_CONFIG_FILE`` is left to who reads it, also where our distro was asked for."""
    outcome = run(
        tmp_path, "work", command=instrument(), env={"OTEL_CONFIG_FILE": configuration, **distro}
    )
    assert_kept(outcome, _SDKS)
    assert "ignoring configurator kwargs" in outcome.errors  # the SDK's own complaint
    assert "phasetrace" not in outcome.errors
    assert_right(outcome._replace(errors=""))


def test_a_file_that_nobody_reads_changes_nothing(
    tmp_path: Path, configuration: str, no_distro: Path
) -> None:
    """Without a configurator there is no provider of the file's, and phases have ours."""
    outcome = run(
        tmp_path,
        *("work",),
        command=instrument(no_distro),
        python=no_distro,
        env={"OTEL_CONFIG_FILE": configuration, **_OUR_DISTRO},
    )
    assert outcome.seen["provider"] == _OURS
    assert_quiet(outcome)
    assert_right_locally(outcome)


@pytest.mark.parametrize("steps", [("configuration-file",), ("early", "configuration-file")])
def test_an_application_may_read_the_file(
    tmp_path: Path, configuration: str, steps: tuple[str, ...]
) -> None:
    """The provider that comes of it is used, whether it is there first or comes later."""
    outcome = run(tmp_path, *steps, "work", env={"SDK_CONFIGURATION": configuration})
    assert_kept(outcome, _SDKS)
    assert_right(outcome)
