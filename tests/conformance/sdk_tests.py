"""opentelemetry-sdk's tests: where they come from, and a run of them.

They are in the source distribution of opentelemetry-sdk, and use some classes of the distribution
opentelemetry-test-utils. Both are fetched by pip, in the versions that belong to the installed SDK,
and kept in the user's cache folder; none of it is part of this project.
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

SUITES: Final = ("tests/trace", "tests/context", "tests/logs/test_handler.py")
"""The tests that make spans on an SDK provider, and those beside them."""

_HERE: Final = Path(__file__).parent


class CannotFetch(Exception):
    """pip did not bring the tests; says why."""


@dataclass(frozen=True)
class Outcomes:
    """How the tests ended."""

    classes: list[str]
    """What the tests got as the SDK's provider, tracer and span."""
    ends: dict[str, str | None]
    """What went wrong in ``tests/trace/test_trace.py::TestSpan::test_links`` and so on, or None."""

    @property
    def failures(self) -> dict[str, str]:
        """The tests that failed, and how."""
        return {test: failure for test, failure in self.ends.items() if failure is not None}


def fetch() -> list[Path]:
    """Return the archives of the tests and of what they import; fetch them if they are not there.

    Raises:
        CannotFetch: There is no network, or no pip.
    """
    sdk = version("opentelemetry-sdk")
    # Released together: SDK 1.45.2 and 0.66b2. Test-utils skips some of the patch releases.
    series = version("opentelemetry-semantic-conventions").partition("b")[0]
    folder = platformdirs.user_cache_path("phasetrace-tests") / f"opentelemetry-sdk-{sdk}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as scratch:
            fetched = Path(scratch) / "fetched"
            _download(
                fetched,
                f"opentelemetry-sdk=={sdk}",
                f"opentelemetry-test-utils>={series}b0,<={series}",
            )
            with suppress(OSError):  # another test run was faster
                fetched.rename(folder)
    return sorted(folder.iterdir())


def _download(folder: Path, *requirements: str) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    as_source = ["--no-binary", "opentelemetry-sdk"]  # the wheel has no tests
    done = subprocess.run(
        [*pip, *as_source, "--dest", str(folder), *requirements], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise CannotFetch(done.stderr.strip().rpartition("\n")[2])


def unpack(archives: list[Path], folder: Path) -> Path:
    """Unpack what was fetched, and return the folder of the SDK's source distribution."""
    for archive in archives:
        if archive.suffix == ".whl":
            shutil.unpack_archive(archive, folder / "site", "zip")
        else:
            shutil.unpack_archive(archive, folder, filter="data")
    (source,) = folder.glob("opentelemetry_sdk-*")
    return source


def run(source: Path, *, ours: bool) -> Outcomes:
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
    no_settings = ["--config-file", os.devnull, "--rootdir", str(source)]
    done = subprocess.run(
        [*pytest, *no_settings, *SUITES],
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
