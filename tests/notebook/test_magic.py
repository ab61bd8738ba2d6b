"""``%%phases`` in a real IPython."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import phasetrace

Shell = Any


@pytest.fixture
def shell() -> Iterator[Shell]:
    """Start a shell with the extension in it."""
    InteractiveShell.clear_instance()
    shell: Any = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "phasetrace")
    shell.run_cell("from phasetrace import execution, node, phase", silent=True)
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


def run(shell: Shell, cell: str) -> tuple[Any, Any]:
    """Run a cell; return its result, and what it showed."""
    with capture_output() as captured:
        result = shell.run_cell(cell, store_history=True)
    return result, captured


def shown(captured: Any) -> dict[str, str]:
    """Return the one thing that was displayed, by its forms."""
    (output,) = captured.outputs
    return dict(output.data)


WORK = """%%phases nightly import
with node("fetch"):
    with phase("download"):
        x = 20
x + 1
"""


def test_a_cell_is_an_execution_and_shows_its_breakdown(shell: Shell) -> None:
    """As HTML in a notebook, and as text elsewhere; the rest is as without the magic."""
    result, captured = run(shell, WORK)
    assert result.success
    assert result.result == 21
    assert shell.user_ns["x"] == 20
    data = shown(captured)
    assert "<table" in data["text/html"]
    assert "download" in data["text/html"]
    assert "fetch - Total:" in data["text/plain"]


def test_the_execution_has_the_name_and_can_be_asked_for(shell: Shell) -> None:
    """Its id is shown with the breakdown."""
    _, captured = run(shell, WORK)
    text = shown(captured)["text/plain"]
    (exec_id,) = [line.split()[-1] for line in text.splitlines() if "Execution ID" in line]
    assert exec_id.startswith("nightly-import_")
    answer = phasetrace.breakdown(exec_id)
    assert answer.execution.name == "nightly import"
    assert [one.node_id for one in answer.nodes] == ["fetch"]


def test_a_name_is_not_needed(shell: Shell) -> None:
    """Each cell is another execution."""
    texts = [shown(run(shell, "%%phases\n1")[1])["text/plain"] for _ in range(2)]
    assert "cell_" in texts[0]
    assert texts[0] != texts[1]


def test_a_cell_that_fails_does_so(shell: Shell) -> None:
    """Its execution is marked, and its breakdown shown all the same."""
    result, captured = run(shell, "%%phases\nwith phase('p'):\n    1 / 0")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert "Status: error" in shown(captured)["text/plain"]
    text = re.sub(r"\x1b\[[0-9;]*m", "", captured.stdout)
    assert "1 / 0" in text
    assert "notebook.py" not in text


def test_what_is_no_python_is_no_execution(shell: Shell) -> None:
    """Nothing has run."""
    result, captured = run(shell, "%%phases\n)")
    assert isinstance(result.error_before_exec, SyntaxError)
    assert captured.outputs == []


def test_magics_and_transformers_work_inside(shell: Shell) -> None:
    """What IPython makes of a cell, it does here as well."""

    class Doubles(ast.NodeTransformer):
        def visit_Constant(self, constant: ast.Constant) -> ast.AST:
            value = constant.value
            return ast.Constant(value * 2) if type(value) is int else constant

    shell.ast_transformers.append(Doubles())
    result, _ = run(shell, "%%phases\nfiles = %who_ls\n21")
    assert result.result == 42
    assert isinstance(shell.user_ns["files"], list)


def test_a_semicolon_keeps_the_result_back(shell: Shell) -> None:
    """As in any cell."""
    assert run(shell, "%%phases\n'the result'")[1].stdout.count("the result") == 1
    assert run(shell, "%%phases\n'the result';")[1].stdout.count("the result") == 0


def test_to_load_it_again_does_no_harm(shell: Shell) -> None:
    """As after a change to the package."""
    phasetrace.load_ipython_extension(shell)
    assert run(shell, WORK)[0].success


def test_a_cell_may_await(shell: Shell) -> None:
    """At its top, as any cell; what it awaits is in the execution."""
    cell = """
    %%phases
    import asyncio

    async def fetch():
        with phase("download"):
            await asyncio.sleep(0)
        return 20

    with node("fetch"):
        got = await fetch()
    await asyncio.sleep(0, result=got + 1)
    """
    result, captured = run(shell, textwrap.dedent(cell))
    assert result.success
    assert result.result == 21
    assert "download" in shown(captured)["text/plain"]


def test_the_report_can_be_asked_for(shell: Shell) -> None:
    """In place of the breakdown, which is there as text all the same."""
    _, captured = run(shell, WORK.replace("%%phases", "%%phases --report"))
    data = shown(captured)
    assert data["text/html"].startswith('<iframe title="nightly import" sandbox="allow-scripts"')
    assert "fetch - Total:" in data["text/plain"]


def test_it_works_within_another_magic(shell: Shell) -> None:
    """Whatever runs the rest of a cell has it run in an execution."""
    _, captured = run(shell, f"%%capture kept\n{WORK}")
    assert captured.outputs == []
    breakdown, result = shell.user_ns["kept"].outputs
    assert "download" in breakdown.data["text/plain"]
    assert result.data["text/plain"] == "21"


def test_another_magic_works_within_it(shell: Shell) -> None:
    """One that takes the rest of the cell as its text."""
    result, captured = run(shell, "%%phases\n%%writefile /dev/null\nnot Python")
    assert result.success
    assert "cell_" in shown(captured)["text/plain"]


def test_an_empty_cell_does_nothing(shell: Shell) -> None:
    """But take some time."""
    result, captured = run(shell, "%%phases")
    assert result.success
    assert "cell_" in shown(captured)["text/plain"]


def test_nothing_is_left_in_the_notebook(shell: Shell) -> None:
    """What the magic needs has no name there."""
    before = set(shell.user_ns)
    run(shell, "%%phases\n1 + 1;")
    assert {name for name in set(shell.user_ns) - before if not name.startswith("_i")} == set()


def test_cells_without_it_are_as_they_are(shell: Shell) -> None:
    """Also such as talk of it."""
    result, captured = run(shell, "phases = '%%phases'\nphases")
    assert result.result == "%%phases"
    assert captured.outputs == []


def test_where_nothing_is_recorded_that_is_said(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell runs, and what it raises is what is raised."""

    def unknown(exec_id: str) -> None:
        raise phasetrace.UnknownExecution(exec_id)

    monkeypatch.setattr("phasetrace.answers.breakdown", unknown)
    result, captured = run(shell, "%%phases\n1 / 0")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert "nothing was recorded" in shown(captured)["text/plain"]


def test_the_first_cell_of_a_session_is_recorded() -> None:
    """Where nothing but the magic has used the package."""
    session = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "phasetrace")
shell.run_cell("%%phases first\\nfrom phasetrace import phase\\nwith phase('p'): pass")
"""
    done = subprocess.run(
        [sys.executable, "-c", session], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Execution ID: first_" in done.stdout
