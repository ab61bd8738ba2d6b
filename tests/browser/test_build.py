"""What is kept of the page's script and style is what its sources are built into."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import phasetrace.reports

SOURCES = Path(__file__).parents[2] / "report-ui"
KEPT = Path(phasetrace.reports.__file__).parent
FILES = ("static/report.js", "static/report.css", "LICENSES.txt")


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Have the pinned libraries, from the registry if they are not there."""
    assert shutil.which("npm"), "there is no npm; install Node 20 or newer"
    if not (SOURCES / "node_modules").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=SOURCES, check=True)


def test_the_kept_files_are_those_of_the_build(tmp_path: Path) -> None:
    """Byte for byte; ``npm run build`` in report-ui writes them anew."""
    subprocess.run(["node", "build.mjs", "--out", str(tmp_path)], cwd=SOURCES, check=True)
    for file in FILES:
        assert (KEPT / file).read_bytes() == (tmp_path / file).read_bytes(), file
    kept = {path.name for path in (KEPT / "static").iterdir()}
    assert kept == {"report.js", "report.css"}


def test_the_versions_are_pinned() -> None:
    """What is built today is built tomorrow: no range, and the lock file agrees."""
    import json

    package = json.loads((SOURCES / "package.json").read_text())
    lock = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    for name, version in {**package["dependencies"], **package["devDependencies"]}.items():
        assert version == lock[f"node_modules/{name}"]["version"]


def test_the_types_hold() -> None:
    """TypeScript has nothing to say."""
    subprocess.run(["npm", "run", "--silent", "check"], cwd=SOURCES, check=True)


def test_the_tests_of_the_sources_pass() -> None:
    """What can be tested without a browser is."""
    subprocess.run(["npm", "run", "--silent", "test"], cwd=SOURCES, check=True)
