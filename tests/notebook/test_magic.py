"""``%%phases`` in a real IPython."""

from __future__ import annotations

import ast
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
        result = shell.run_cell(cell)
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
    assert "1 / 0" in captured.stdout
    assert "notebook.py" not in captured.stdout


def test_what_is_no_python_is_no_execution(shell: Shell) -> None:
    """Nothing has run."""
    result, captured = run(shell, "%%phases\n)")
    assert isinstance(result.error_in_exec, SyntaxError)
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
