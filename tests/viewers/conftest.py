"""What opens exports: Node.js with the packages of `package.json`, and Perfetto."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .perfetto import Perfetto

HERE = Path(__file__).parent
Node = Callable[..., Any]


@pytest.fixture(scope="session")
def node() -> Node:
    """Install the packages; return what runs a script of this folder, and reads its JSON."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        give_up = pytest.fail if os.environ.get("CI", "").lower() in ("true", "1") else pytest.skip
        give_up("there is no Node.js: node and npm are missing")
    quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    subprocess.run(["npm", "install", *quiet], cwd=HERE, check=True, timeout=300)

    def run(script: str, file: Path) -> Any:
        done = subprocess.run(
            ["node", HERE / script, file], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr[-1_000:]  # before that a bundle is quoted
        return json.loads(done.stdout)

    return run


@pytest.fixture
def perfetto(node: Node) -> Iterator[Perfetto]:
    """Run a trace processor for one test."""
    with Perfetto() as processor:
        yield processor
