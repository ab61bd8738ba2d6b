"""What is asked of the environment, and that nothing else asks it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import phasetrace
from phasetrace.environment import colour_wanted, selected_provider, service_is_named


@pytest.mark.parametrize(
    ("environ", "is_terminal", "flag", "wanted"),
    [
        ({}, True, None, True),
        ({}, False, None, False),
        ({"NO_COLOR": "1"}, True, None, False),
        ({"NO_COLOR": ""}, True, None, True),
        ({"TERM": "dumb"}, True, None, False),
        ({"NO_COLOR": "1"}, False, True, True),
        ({}, True, False, False),
    ],
)
def test_colour(
    environ: dict[str, str],
    is_terminal: bool,
    flag: bool | None,
    wanted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flag comes before NO_COLOR, that before TERM=dumb, that before the terminal."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert colour_wanted(is_terminal, flag) is wanted


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("OTEL_SERVICE_NAME", "s", True),
        ("OTEL_SERVICE_NAME", "", False),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,service.name=s", True),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b", False),
    ],
)
def test_the_service_may_be_named(
    name: str, value: str, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both standard variables can name the service."""
    monkeypatch.setenv(name, value)
    assert service_is_named() is named


def test_a_provider_may_be_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable selects none."""
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "")
    assert selected_provider() is None
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "phasetrace")
    assert selected_provider() == "phasetrace"


def test_the_environment_is_read_in_one_module() -> None:
    """No other module touches ``os.environ`` or ``os.getenv``."""
    root = Path(phasetrace.__file__).parent
    exporters = Path(__file__).parents[2] / "exporters"
    readers = {
        path.name
        for path in [*root.rglob("*.py"), *exporters.rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"))
        or (isinstance(node, ast.alias) and node.name in ("environ", "environb", "getenv"))
    }
    assert readers == {"environment.py"}
