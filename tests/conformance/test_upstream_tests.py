"""phasetrace's provider, tracer and span behave as the SDK's do, by OpenTelemetry's own tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import phasetrace

from . import upstream_tests
from .exceptions import PRIVATE_STRUCTURE, WITHOUT_AN_SDK
from .upstream_tests import UPSTREAMS, CannotFetch, Outcomes, Upstream

pytestmark = pytest.mark.timeout(600)  # they are fetched, and run twice


@pytest.fixture(scope="module", params=UPSTREAMS, ids=lambda upstream: upstream.name)
def upstream(request: pytest.FixtureRequest) -> Upstream:
    """Return what to run, one after another."""
    chosen: Upstream = request.param
    return chosen


@pytest.fixture(scope="module")
def source(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source distribution, unpacked; skip without a network, unless in CI."""
    try:
        archives = upstream_tests.fetch(upstream.distribution)
    except CannotFetch as why:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            raise
        pytest.skip(f"the tests of {upstream.distribution} cannot be fetched: {why}")
    return upstream_tests.unpack(archives, tmp_path_factory.mktemp(upstream.name))


@pytest.fixture(scope="module")
def stock(upstream: Upstream, source: Path) -> Outcomes:
    """Return how the tests end on the SDK itself."""
    return upstream_tests.run(upstream, source, ours=False)


@pytest.fixture(scope="module")
def ours(upstream: Upstream, source: Path) -> Outcomes:
    """Return how the tests end with phasetrace's classes in place of the SDK's."""
    return upstream_tests.run(upstream, source, ours=True)


@pytest.fixture
def without_an_sdk(upstream: Upstream) -> frozenset[str]:
    """Return the tests that fail on any SDK."""
    return frozenset(WITHOUT_AN_SDK.get(upstream.name, ()))


@pytest.fixture
def private_structure(upstream: Upstream) -> frozenset[str]:
    """Return the tests that fail on anything but the SDK itself."""
    return frozenset(PRIVATE_STRUCTURE.get(upstream.name, ()))


def test_the_sdk_passes_the_tests_here(stock: Outcomes, without_an_sdk: frozenset[str]) -> None:
    """What fails on ours is not the fault of the tests, nor of this machine."""
    expect_no(stock.failures, but=without_an_sdk)


def test_the_tests_run_on_what_phasetrace_makes(stock: Outcomes, ours: Outcomes) -> None:
    """The classes that are put in place are those that our provider uses where nothing is."""
    provider = phasetrace.TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    made = [type(provider), type(tracer), type(tracer.start_span("test"))]
    assert ours.classes == [f"{one.__module__}.{one.__qualname__}" for one in made]
    assert ours.classes != stock.classes
    assert ours.ends.keys() == stock.ends.keys()


def test_what_would_do_nothing_is_made_by_them(
    upstream: Upstream, stock: Outcomes, ours: Outcomes
) -> None:
    """Tests that bring no SDK of their own get these classes all the same, and alike."""
    assert bool(ours.implemented) == upstream.implemented
    assert ours.implemented == stock.implemented


def test_every_test_passes_but_those_that_are_named(
    ours: Outcomes, without_an_sdk: frozenset[str], private_structure: frozenset[str]
) -> None:
    """Only what is named, with its reason, tells phasetrace from the SDK."""
    expect_no(ours.failures, but=without_an_sdk | private_structure)


def test_what_is_named_exists_and_fails(
    stock: Outcomes,
    ours: Outcomes,
    without_an_sdk: frozenset[str],
    private_structure: frozenset[str],
) -> None:
    """The lists do not outlive their reasons."""
    gone = (without_an_sdk | private_structure) - ours.ends.keys()
    assert not gone, f"not in this version of OpenTelemetry: {sorted(gone)}"
    passed = (without_an_sdk - stock.failures.keys()) | (private_structure - ours.failures.keys())
    assert not passed, f"passes, take it off the list: {sorted(passed)}"


def expect_no(failures: dict[str, str], *, but: frozenset[str]) -> None:
    """Fail if a test failed, and say which and how."""
    unexpected = {test: why for test, why in failures.items() if test not in but}
    if unexpected:
        details = "\n\n".join(f"____ {test} ____\n{why}" for test, why in unexpected.items())
        listing = "\n".join(f"  {test}" for test in unexpected)
        pytest.fail(f"{details}\n\n{len(unexpected)} tests failed:\n{listing}", pytrace=False)
