"""phasetrace's provider and span behave as the SDK's do, by the SDK's own tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import phasetrace

from . import sdk_tests
from .private_structure import PRIVATE_STRUCTURE
from .sdk_tests import CannotFetch, Outcomes

pytestmark = pytest.mark.timeout(600)  # they are fetched, and run twice


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the SDK's source distribution, unpacked; skip without a network, unless in CI."""
    try:
        archives = sdk_tests.fetch()
    except CannotFetch as why:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            raise
        pytest.skip(f"the tests of opentelemetry-sdk cannot be fetched: {why}")
    return sdk_tests.unpack(archives, tmp_path_factory.mktemp("sdk"))


@pytest.fixture(scope="module")
def stock(source: Path) -> Outcomes:
    """Return how the tests end on the SDK itself."""
    return sdk_tests.run(source, ours=False)


@pytest.fixture(scope="module")
def ours(source: Path) -> Outcomes:
    """Return how the tests end with phasetrace's classes in place of the SDK's."""
    return sdk_tests.run(source, ours=True)


def test_the_sdk_passes_its_tests_here(stock: Outcomes) -> None:
    """What fails on ours is not the fault of the tests, nor of this machine."""
    expect_no(stock.failures)


def test_the_tests_run_on_what_phasetrace_makes(stock: Outcomes, ours: Outcomes) -> None:
    """The classes that are put in place are those that our provider uses where nothing is."""
    provider = phasetrace.TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    made = [type(provider), type(tracer), type(tracer.start_span("test"))]
    assert ours.classes == [f"{one.__module__}.{one.__qualname__}" for one in made]
    assert ours.classes != stock.classes
    assert ours.ends.keys() == stock.ends.keys()


def test_every_test_passes_but_those_on_private_structure(ours: Outcomes) -> None:
    """Only what is named, with its reason, tells phasetrace from the SDK."""
    expect_no(
        {test: why for test, why in ours.failures.items() if test not in PRIVATE_STRUCTURE},
    )


def test_what_is_named_as_private_structure_exists_and_fails(ours: Outcomes) -> None:
    """The list does not outlive its reasons."""
    gone = PRIVATE_STRUCTURE.keys() - ours.ends.keys()
    assert not gone, f"not in this version of opentelemetry-sdk: {sorted(gone)}"
    passed = PRIVATE_STRUCTURE.keys() - ours.failures.keys()
    assert not passed, f"passes, take it off the list: {sorted(passed)}"


def expect_no(failures: dict[str, str]) -> None:
    """Fail if a test failed, and say which and how."""
    if failures:
        details = "\n\n".join(f"____ {test} ____\n{why}" for test, why in failures.items())
        listing = "\n".join(f"  {test}" for test in failures)
        pytest.fail(f"{details}\n\n{len(failures)} tests failed:\n{listing}", pytrace=False)
