"""What the README says is true."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from phasetrace.attributes import MAX_VALUE_LENGTH
from phasetrace.collector import MAX_EXECUTIONS, MAX_KEYS
from phasetrace.histogram import RELATIVE_ERROR
from phasetrace.settings import VARIABLES
from phasetrace.variables import SOURCE_VARIABLES

README = (Path(__file__).parents[2] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_every_example_runs_one_after_the_other(tmp_path: Path) -> None:
    """The Python blocks, as one program, without a word on stderr."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OTEL_")
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(EXAMPLES)],
        cwd=tmp_path,
        env={**environment, "PHASETRACE_STORE": str(tmp_path / "traces.db")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "fetch - Total:" in done.stdout
    assert "{'node_1': {'llm_completion': 3500.0, 'llm_completion_metadata'" in done.stdout
    assert re.search(r"^\['fetch'\]\n\{'download': \d+\.\d+\}$", done.stdout, re.MULTILINE)


def test_there_are_examples() -> None:
    """Should the blocks be written otherwise one day, the test above must not pass for that."""
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize(
    "variable", (*VARIABLES, *SOURCE_VARIABLES), ids=lambda variable: variable.name
)
def test_every_variable_is_documented(variable: object) -> None:
    """Each setting of our own has its row."""
    assert re.search(rf"^\| `{variable.name}` \|", README, re.MULTILINE)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["run"])
def test_every_option_of_run_is_documented(command: str) -> None:
    """`run` has no option that the README is silent about."""
    parser = argparse.ArgumentParser(add_help=False)
    import_module(f"phasetrace.cli.{command}").add_arguments(parser)
    options = [name for action in parser._actions for name in action.option_strings]
    assert options
    assert [name for name in options if name not in README] == []


def test_the_numbers_that_are_named_are_those_in_force() -> None:
    """Limits and errors have not moved away from the text."""
    assert f"{MAX_EXECUTIONS:,} executions, {MAX_KEYS:,} phases each" in README
    assert f"cut at {MAX_VALUE_LENGTH:,} characters" in README
    assert RELATIVE_ERROR <= 0.008
    assert "to within 0.8 %" in README
