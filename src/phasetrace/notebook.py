"""Timing cells in IPython and Jupyter: ``%load_ext phasetrace``, then ``%%phases``.

    %%phases nightly import
    with node("fetch"), phase("download"):
        ...

The cell runs in an execution of its own, and its breakdown is shown below what it prints.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

CELL: Final = "cell"
"""What an execution is called without a name."""


def load(shell: InteractiveShell) -> None:
    """Add the magic to a shell; to add it twice does no harm."""
    from IPython.core.magic import output_can_be_silenced

    def magic(line: str, cell: str) -> Any:
        """Time a cell: ``%%phases [NAME]`` runs it in an execution, and shows its breakdown."""
        __tracebackhide__ = True  # IPython shows the cell's own frames
        return phases(shell, line, cell)

    silenced = output_can_be_silenced(magic)  # by a semicolon at the end
    shell.register_magic_function(silenced, magic_kind="cell", magic_name="phases")


def phases(shell: InteractiveShell, line: str, cell: str) -> Any:
    """Run a cell in an execution of this name, and show where its time went.

    Returns:
        What the cell's last expression is, for the notebook to show, as without the magic.

    Raises:
        BaseException: what the cell raises; the execution is marked accordingly.
    """
    __tracebackhide__ = True
    from IPython.display import display

    from phasetrace.answers import breakdown
    from phasetrace.identity import new_exec_id
    from phasetrace.phases import execution

    name = line.strip() or CELL
    exec_id = new_exec_id(re.sub(r"\W+", "-", name).strip("-") or CELL)
    statements, last = _compiled(shell, cell)  # before anything is timed
    try:
        with execution(exec_id, name=name):
            exec(statements, shell.user_ns)  # noqa: S102 - that is what a cell is for
            return eval(last, shell.user_ns) if last is not None else None  # noqa: S307
    finally:
        answer = breakdown(exec_id)
        shown = {"text/plain": str(answer), "text/html": answer._repr_html_()}
        display(shown, raw=True)


def _compiled(shell: InteractiveShell, cell: str) -> tuple[Any, Any]:
    """Return the code of a cell, and that of its last expression, if it ends in one.

    Raises:
        SyntaxError: if it is no Python; so is ``await`` outside of a function.
    """
    source = shell.transform_cell(cell)
    name = shell.compile.cache(source)  # for tracebacks to show its lines
    tree = shell.transform_ast(ast.parse(source, name))
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = compile(ast.Expression(tree.body.pop().value), name, "eval")
    return compile(tree, name, "exec"), last
