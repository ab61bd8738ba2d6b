"""OpenTelemetry's own tests: where they come from, and a run of them.

They are in the source distributions of opentelemetry-api and opentelemetry-sdk, and use some
classes of the distribution opentelemetry-test-utils. They are fetched by pip, in the versions that
belong to what is installed, and kept in the user's cache folder; none of it is part of this
project.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import platformdirs

_HERE: Final = Path(__file__).parent
_HANGS_S: Final = 60
"""Some tests wait for a span to arrive, for ever if it does not; the slowest that pass take two."""


class CannotFetch(Exception):
    """pip did not bring the tests; says why."""


@dataclass(frozen=True)
class Upstream:
    """Some of the tests of a distribution."""

    name: str
    distribution: str
    suites: tuple[str, ...]
    """Files and folders."""
    implemented: bool = False
    """They make stand-ins that do nothing, and get working ones; see `plugin/implementation.py`."""


UPSTREAMS: Final = (
    Upstream(
        "sdk",
        "opentelemetry-sdk",
        # In this order: tests/trace sets the global provider, and the configurator looks at it.
        ("tests/test_configurator.py", "tests/trace", "tests/context"),
    ),
    # What notes the trace that it was made in, and is given a span that has only a context.
    Upstream(
        "sdk-beside-traces",
        "opentelemetry-sdk",
        (
            "tests/logs",
            "tests/metrics/integration_test/test_exemplars.py",
            "tests/metrics/test_exemplarfilter.py",
            "tests/metrics/test_exemplarreservoir.py",
        ),
        implemented=True,
    ),
    Upstream(
        "api",
        "opentelemetry-api",
        ("tests/attributes", "tests/baggage", "tests/context", "tests/propagators", "tests/trace"),
        implemented=True,
    ),
)
"""The tests in which a span, a tracer or a provider may occur, and those of what goes with them.

The SDK has no tests of propagators. Those of its batch processor, tests/shared_internal, make no
span; tests/trace/export has those that do.
"""


@dataclass(frozen=True)
class Outcomes:
    """How the tests ended."""

    classes: list[str]
    """What the tests got as the SDK's provider, tracer and span."""
    ends: dict[str, str | None]
    """What went wrong in ``tests/trace/test_trace.py::TestSpan::test_links`` and so on, or None."""
    implemented: list[str]
    """The tests that got one of these where they made a stand-in."""

    @property
    def failures(self) -> dict[str, str]:
        """The tests that failed, and how."""
        return {test: failure for test, failure in self.ends.items() if failure is not None}


def fetch(distribution: str) -> list[Path]:
    """Return the archives of the tests and of what they import; fetch them if they are not there.

    Raises:
        CannotFetch: There is no network, or no pip.
    """
    installed = version(distribution)
    # Released together: SDK 1.45.2 and 0.66b2. Test-utils skips some of the patch releases.
    series = version("opentelemetry-semantic-conventions").partition("b")[0]
    folder = platformdirs.user_cache_path("phasetrace-tests") / f"{distribution}-{installed}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as scratch:
            fetched = Path(scratch) / "fetched"
            _download(fetched, f"{distribution}=={installed}", as_source=distribution)
            _download(fetched, f"opentelemetry-test-utils>={series}b0,<={series}")
            with suppress(OSError):  # another test run was faster
                fetched.rename(folder)
    return sorted(folder.iterdir())


def _download(folder: Path, requirement: str, *, as_source: str | None = None) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    source = ["--no-binary", as_source] if as_source is not None else []  # a wheel has no tests
    done = subprocess.run([*pip, *source, requirement], capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotFetch(done.stderr.strip().rpartition("\n")[2])


def unpack(archives: list[Path], folder: Path) -> Path:
    """Unpack what was fetched, and return the folder of the source distribution."""
    for archive in archives:
        if archive.suffix == ".whl":
            shutil.unpack_archive(archive, folder / "site", "zip")
        else:
            shutil.unpack_archive(archive, folder, filter="data")
    (source,) = folder.glob("opentelemetry_*-*")
    return source


def run(upstream: Upstream, source: Path, *, ours: bool) -> Outcomes:
    """Run the tests in a process of their own, on phasetrace's classes or on the SDK's."""
    found = source.parent / f"outcomes-{'ours' if ours else 'stock'}.json"
    folders = [source.parent / "site", _HERE / "plugin", *([_HERE / "in_place"] if ours else [])]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "PHASETRACE_", "PYTEST_"))
    }
    environment["OUTCOMES"] = str(found)
    environment["PYTHONPATH"] = _before(environment.get("PYTHONPATH"), *folders)
    # The tests start "python", and mean the one that they run on.
    environment["PATH"] = _before(environment.get("PATH"), Path(sys.executable).parent)
    pytest = [sys.executable, "-m", "pytest", "-p", "outcomes", "-p", "no:cacheprovider"]
    stand_ins = ["-p", "implementation"] if upstream.implemented else []
    settings = ["--config-file", os.devnull, "--rootdir", str(source), f"--timeout={_HANGS_S}"]
    done = subprocess.run(
        [*pytest, *stand_ins, *settings, *upstream.suites],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
    )
    # Anything but "passed" and "some failed" means that not all were run.
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return Outcomes(**json.loads(found.read_text(encoding="utf-8")))


def _before(path: str | None, *folders: Path) -> str:
    return os.pathsep.join([*map(str, folders), *([path] if path else [])])
