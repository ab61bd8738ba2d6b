"""Test what a project says of itself in its `pyproject.toml`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phasetrace.analysis.usage import Price
from phasetrace.errors import ConfigError
from phasetrace.project_file import find_project_file, load_prices, read_project_file

BUDGETS = '[tool.phasetrace.budgets]\n"plan/*:p95" = "2s"\n'
PRICES = '[tool.phasetrace.prices]\n"gpt-4o" = { input = 2.5, output = 10.0 }\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(folder: Path, text: str, name: str = "pyproject.toml") -> Path:
    """Write a file of the project's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_the_nearest_that_says_something(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nearer one that says nothing of phasetrace is passed over, also if it is no TOML."""
    path = write(project, BUDGETS + PRICES)
    write(project / "a", '[project]\ndependencies = ["phasetrace"]\n[tool.ruff]\n')
    below = write(project / "a" / "b", "not [TOML").parent
    monkeypatch.chdir(below)
    file = find_project_file()
    assert file is not None
    assert file.path == path
    assert file.budgets == {"plan/*:p95": "2s"}
    assert file.prices == {"gpt-4o": Price(2.5, 10.0)}
    nearer = write(below, "[tool.phasetrace]\n")
    file = find_project_file()
    assert file is not None
    assert file == (nearer, None, None, True)


def test_the_working_directory_is_gone(project: Path) -> None:
    """Then nobody knows what was above it."""
    write(project.parent, BUDGETS + PRICES)
    project.rmdir()
    assert find_project_file() is None
    assert load_prices() == {}


def test_there_is_none(project: Path) -> None:
    """Neither budgets nor prices, then."""
    write(project, "[tool.black]\n")
    assert find_project_file(project) is None
    assert load_prices() == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.phasetrace]\nbudget = {}", "unknown key 'budget', did you mean 'budgets'?"),
        ("[tool.phasetrace]\nxyz = 1", "unknown key 'xyz', there are budgets and prices"),
        ("[tool.phasetrace]\nbudgets = 1", r"\[tool.phasetrace.budgets\] is 1; expected a table"),
        ("[tool]\nphasetrace = 1", "tool.phasetrace is 1; expected a table"),
        ("[tool.phasetrace.budgets]\nplan/*:p95 = '2s'", r"cannot read .*pyproject.toml: .*line 2"),
        ("[tool.phasetrace.prices]\na = 1", '"a": 1 is no price; expected { input = 2.5, '),
        ("[tool.phasetrace.prices]\na = {}", '"a": {} is no price'),
        (
            "[tool.phasetrace.prices]\na = { inputs = 1 }",
            "\"a\": unknown field 'inputs', did you mean 'input'?",
        ),
        ("[tool.phasetrace.prices]\na = { input = -1 }", '"a": input is -1; expected'),
        ("[tool.phasetrace.prices]\na = { input = inf }", '"a": input is inf'),
        ("[tool.phasetrace.prices]\na = { input = nan }", '"a": input is nan'),
        ("[tool.phasetrace.prices]\na = { input = 1.1e9 }", '"a": input is 1100000000.0; .* 1e9'),
        ("[tool.phasetrace.prices]\na = { input = 1" + "0" * 400 + " }", '"a": input is 10*…;'),
        ("[tool.phasetrace.prices]\na = { output = true }", '"a": output is True'),
        ("[tool.phasetrace.prices]\na = 1\nb = { input = '1' }", '"a": .*; "b": input is \'1\''),
    ],
)
def test_what_makes_no_sense(text: str, message: str, project: Path) -> None:
    """The file, what is in it, and what is expected; all wrong prices at once."""
    path = write(project, text)
    with pytest.raises(ConfigError, match=message) as raised:
        find_project_file()
    assert str(path) in str(raised.value)


def test_what_is_no_text(project: Path) -> None:
    """TOML is UTF-8."""
    (project / "pyproject.toml").write_bytes(b"# phasetrace \xff")
    with pytest.raises(ConfigError, match="cannot read"):
        find_project_file()


def test_prices_of_one_direction(project: Path) -> None:
    """What is not said costs nothing: an embedding has no output."""
    write(project, '[tool.phasetrace.prices]\n"embed-*" = { input = 0.02 }\n')
    assert load_prices() == {"embed-*": Price(0.02, 0.0)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("prices.toml", "m = { input = 1, output = 2 }\n"),
        ("prices.toml", "[prices]\nm = { input = 1, output = 2 }\n"),
        ("both.toml", "[prices]\nm = { input = 1, output = 2 }\n[budgets]\na = '2s'\n"),
        ("prices.json", '{"m": {"input": 1, "output": 2}}'),
        ("PRICES.JSON", '\ufeff{"prices": {"m": {"input": 1, "output": 2}}}'),
    ],
)
def test_a_file_of_prices(name: str, text: str, project: Path) -> None:
    """By itself, or as a table of several; TOML or JSON. The project's file has no say then."""
    write(project, PRICES)
    path = write(project / "more", text, name)
    assert load_prices(path) == load_prices(str(path)) == {"m": Price(1.0, 2.0)}


@pytest.mark.parametrize(
    ("text", "budgets"),
    [
        ('"a:p95" = "2s"\n', {"a:p95": "2s"}),
        ('[budgets]\n"a:p95" = "2s"\n', {"a:p95": "2s"}),
        ("[prices]\nm = { input = 1 }\n", None),
        ('budgets = "2s"\n', {"budgets": "2s"}),
    ],
)
def test_a_file_of_budgets(text: str, budgets: object, project: Path) -> None:
    """By itself, or as a table; a node may be called like the table."""
    path = write(project, text, "b.toml")
    file = read_project_file(path)
    assert file.budgets == budgets
    assert file.where("budgets") == str(path)


def test_a_project_file_that_is_named(project: Path) -> None:
    """It has its tables where it always has them."""
    path = write(project / "other", BUDGETS)
    file = read_project_file(path)
    assert file.budgets == {"plan/*:p95": "2s"}
    assert file.where("budgets") == f"{path} [tool.phasetrace.budgets]"
    assert read_project_file(write(project / "third", "[project]\n")).budgets is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.toml", None, "cannot read .*gone.toml: No such file or directory"),
        ("b.json", "[]", "cannot read .*b.json: expected a table at the top"),
        ("b.json", "{", "cannot read .*b.json: "),
        ("b.toml", "[budgets]\n[price]\n", "unknown key 'price', did you mean 'prices'?"),
    ],
)
def test_a_file_that_cannot_be_read(
    name: str, text: str | None, message: str, project: Path
) -> None:
    """It was asked for, so it is an error."""
    if text is not None:
        write(project, text, name)
    with pytest.raises(ConfigError, match=message):
        read_project_file(project / name)


def test_nothing_is_parsed_for_nothing(project: Path) -> None:
    """Reading commands start without a parser where no file mentions phasetrace."""
    write(project, "[tool.black]\n")
    program = (
        "import sys, phasetrace.project_file as p; p.load_prices();"
        "sys.exit('tomllib' in sys.modules or 'tomli' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=project, check=False).returncode == 0


def test_another_file_may_have_the_tables_of_a_project(project: Path) -> None:
    """They mean the same there, and are called so."""
    path = write(project, BUDGETS + PRICES, "mine.toml")
    for whole in ("budgets", "prices"):
        file = read_project_file(path, whole)
        assert (file.budgets, file.prices) == ({"plan/*:p95": "2s"}, {"gpt-4o": Price(2.5, 10.0)})
        assert file.where("budgets") == f"{path} [tool.phasetrace.budgets]"
    assert load_prices(path) == {"gpt-4o": Price(2.5, 10.0)}
    path = write(project, "[tool.phasetrace]\nbudget = {}", "mine.toml")
    with pytest.raises(ConfigError, match=r"mine.toml: unknown key 'budget', did you mean"):
        read_project_file(path)
    path = write(project, PRICES.replace("tool.phasetrace.", ""), "mine.toml")
    assert read_project_file(path).where("prices") == str(path)


def test_the_highest_price(project: Path) -> None:
    """Costs stay numbers whatever is multiplied by it."""
    path = write(project, "a = { input = 1e9, output = 1_000_000_000 }", "mine.toml")
    assert load_prices(path) == {"a": Price(1e9, 1e9)}
