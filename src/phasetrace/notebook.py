"""Timing cells in IPython and Jupyter: ``%load_ext phasetrace``, then ``%%phases``.

    %%phases nightly import
    with node("fetch"), phase("download"):
        ...

The cell runs in an execution of its own, and its breakdown is shown below what it prints, with
``%%phases --report`` its report. It may ``await``, as any cell may: that is why the magic does not
run the cell, but has the shell run it as the body of a ``with``. To that end `_as_line_magic` makes
the first line one that IPython keeps in place (``%phases nightly import``), and `_InItsExecution`
puts what follows into it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from phasetrace.errors import UnknownExecution

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from IPython.core.interactiveshell import InteractiveShell

CELL: Final = "cell"
"""What an execution is called without a name."""

_MAGIC: Final = "phases"
_REPORT: Final = "--report"
_FIRST_LINE: Final = re.compile(rf"%%{_MAGIC}(?![\w?])(.*)", re.DOTALL)

_last_values: list[Any] = []
"""What the last expressions of the cells that run are, for the shell to show afterwards."""


def load(shell: InteractiveShell) -> None:
    """Add the magic to a shell; to add it twice does no harm."""

    def magic(line: str, cell: str | None = None) -> Any:
        """Time a cell: ``%%phases [--report] [NAME]`` runs it in an execution of its own.

        Its breakdown is shown below what it prints, or with ``--report`` its report.
        """
        if cell is None:
            return _timed(line)
        shell.run_cell(f"%{_MAGIC} {line}\n{cell}")  # from within another magic
        return None

    shell.register_magic_function(magic, magic_kind="line_cell", magic_name=_MAGIC)
    if _as_line_magic not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(_as_line_magic)
    if not any(isinstance(one, _InItsExecution) for one in shell.ast_transformers):
        shell.ast_transformers.append(_InItsExecution())


def keep(value: Any) -> None:
    """Keep the value of a cell's last expression until its execution has ended."""
    _last_values.append(value)


def kept() -> Any:
    """Return that value, for the notebook to show as without the magic."""
    return _last_values.pop()


def _timed(line: str) -> AbstractContextManager[None]:
    words = line.split()
    as_report = words[:1] == [_REPORT]
    return _execution(" ".join(words[as_report:]) or CELL, as_report)


@contextmanager
def _execution(name: str, as_report: bool) -> Iterator[None]:
    """Be an execution of this name, and show where its time went, however it ends."""
    from phasetrace import execution  # which puts the recording in place
    from phasetrace.identity import new_exec_id
    from phasetrace.redaction import in_force

    __tracebackhide__ = True  # IPython shows the cell's own frames
    exec_id = new_exec_id(re.sub(r"\W+", "-", in_force().name(name)).strip("-") or CELL)
    try:
        with execution(exec_id, name=name):
            yield
    finally:
        _show(exec_id, as_report)


def _show(exec_id: str, as_report: bool) -> None:
    from IPython.display import display

    from phasetrace.answers import breakdown, report

    try:
        answer = breakdown(exec_id)
        html = (report(exec_id) if as_report else answer)._repr_html_()
    except UnknownExecution:
        shown = {"text/plain": "phasetrace: nothing was recorded, as recording is switched off"}
    else:
        shown = {"text/plain": str(answer), "text/html": html}
    display(shown, raw=True)


def _as_line_magic(lines: list[str]) -> list[str]:
    """Return the lines of a cell, its cell magic as a line magic if it is this one.

    Not if another cell magic follows, which takes the rest of the cell as text.
    """
    found = _FIRST_LINE.match(lines[0]) if lines else None
    if found is None or (len(lines) > 1 and lines[1].startswith("%%")):
        return lines
    return [f"%{_MAGIC}{found[1]}", *lines[1:]]


class _InItsExecution(ast.NodeTransformer):
    """Puts the statements that follow the line magic at the top of a cell into its ``with``."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Return the cell, changed if it begins with the magic."""
        if not (node.body and _is_magic(node.body[0])):
            return node
        magic, *body = node.body
        after: list[ast.stmt] = []
        if body and isinstance(body[-1], ast.Expr):
            value = body[-1].value
            body[-1] = ast.copy_location(ast.Expr(_call(keep, value)), value)
            after = [ast.copy_location(ast.Expr(_call(kept)), value)]
        assert isinstance(magic, ast.Expr)  # noqa: S101 - or it would not be the magic
        timed = ast.With([ast.withitem(magic.value)], body or [ast.Pass()])
        node.body = [ast.copy_location(timed, magic), *after]
        return ast.fix_missing_locations(node)


def _is_magic(statement: ast.stmt) -> bool:
    """Tell whether a statement is what IPython makes of the line magic."""
    match statement:
        case ast.Expr(
            ast.Call(func=ast.Attribute(attr="run_line_magic"), args=[ast.Constant(value=name), _])
        ):
            return bool(name == _MAGIC)
    return False


def _call(function: Any, *arguments: ast.expr) -> ast.Call:
    """Return a call of a function of this module that needs no name in the notebook."""
    source = f"__import__({__name__!r}, fromlist=['*']).{function.__name__}"
    return ast.Call(ast.parse(source, mode="eval").body, list(arguments), [])
