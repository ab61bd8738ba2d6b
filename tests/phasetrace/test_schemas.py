"""What is published of the JSON is true: of what is kept of it, and of what commands print."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators  # type: ignore[import-untyped]

import phasetrace
from phasetrace import execution, node, phase, schemas
from phasetrace.analysis.comparison import compare
from phasetrace.analysis.execution import Examination, analysis_of
from phasetrace.analysis.findings import KINDS, ranked, slower_than_usual
from phasetrace.analysis.plain import findings_list
from phasetrace.budgets.figures import GROUP_QUANTITIES, WHOLE_QUANTITIES
from phasetrace.cli import filters, main
from tests.conftest import FakeClock
from tests.golden.cases import ANSWERS
from tests.phasetrace.analysis import timelines
from tests.phasetrace.analysis.test_comparison import as_run
from tests.phasetrace.cli.stored_runs import Run, put
from tests.phasetrace.receivers import http_receiver, respond
from tests.phasetrace.recordings import made, otlp_files
from tests.phasetrace.store.conftest import Recording, record, without_thread

__all__ = ["record", "without_thread"]

Printed = Callable[..., Any]

SOURCE = Path(phasetrace.__file__).parent
FOLDER = SOURCE / "schemas"
NAMES: Final = sorted(f"phasetrace.{file.stem.replace('-', '/')}" for file in FOLDER.glob("*.json"))
KEPT: Final = sorted(ANSWERS.glob("*.json"))
NOT_ALWAYS: Final = {"analysis", "findings", "usual"}
"""What only the command adds to a breakdown."""

Strict = validators.extend(
    Draft202012Validator,
    # JSON Schema takes 1.0 for an integer, and many a reader's parser does not.
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: type(value) is int
    ),
)


def is_object(schema: Any) -> bool:
    """Tell whether a part of a schema describes an object by its members."""
    return isinstance(schema, dict) and schema.get("type") == "object" and "properties" in schema


def parts(schema: Any) -> Iterator[Any]:
    """Give a schema, and everything in it."""
    yield schema
    inner = schema.values() if isinstance(schema, dict) else schema
    for part in inner if isinstance(schema, (dict, list)) else ():
        yield from parts(part)


def strict(name: str) -> Any:
    """Return a schema as it is read here: nothing may be there that it does not describe."""
    schema = schemas.read(name)
    for part in list(parts(schema)):
        if is_object(part):
            part["additionalProperties"] = False
        if isinstance(part, dict) and isinstance(part.get("examples"), list):
            part["enum"] = part["examples"]
    return schema


STRICT: Final = {name: Strict(strict(name)) for name in NAMES}
PUBLISHED: Final = {name: Draft202012Validator(schemas.read(name)) for name in NAMES}


def wrong(document: Any) -> list[str]:
    """Return what is wrong with a document in a strict reading of its schema."""
    found = STRICT[document["schema"]].iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]


def is_valid(document: Any) -> bool:
    """Tell whether a document is as its schema is published."""
    return bool(PUBLISHED[document["schema"]].is_valid(document))


def parsed(text: str) -> Any:
    """Return what is JSON in the sense of the standard, which knows no NaN."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Return a function that calls a command and returns the JSON that it prints."""

    def call(*arguments: str) -> Any:
        capsys.readouterr()
        assert main(list(arguments)) in (0, 1)
        return parsed(capsys.readouterr().out)

    return call


def run(exec_id: str, name: str = "nightly", fails: bool = False) -> None:
    """Record an execution with nodes that depend on each other, calls of models, and failures."""
    with execution(exec_id, name=name), node("plan", node_type="llm"), phase("call") as span:
        span.set_attribute("gen_ai.usage.input_tokens", 1_200)
        span.set_attribute("gen_ai.request.model", "m")
    with execution(exec_id, name=name), node("write", iteration=1, depends_on=["plan"]):
        try:
            with phase("save"):
                if fails:
                    raise ValueError("no room")
        except ValueError:
            pass
    phasetrace.force_flush()


# What there is


def test_every_name_has_a_file_and_the_other_way_round() -> None:
    """No document without a schema, and no schema of nothing."""
    texts = [file.read_text() for file in SOURCE.rglob("*.py") if FOLDER not in file.parents]
    named = {name for text in texts for name in re.findall(r"phasetrace\.[a-z_]+/\d+", text)}
    assert named == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one(name: str) -> None:
    """By its own schema; under a name of its own, and without a domain."""
    schema = schemas.read(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    family, version = name.removeprefix("phasetrace.").split("/")
    assert schema["$id"] == f"urn:phasetrace:{family}:{version}"
    assert schema["title"] == schema["properties"]["schema"]["const"] == name
    assert (FOLDER / f"{family}-{version}.json").read_text().isascii()


@pytest.mark.parametrize("name", ["breakdown", "phasetrace.breakdown/0", "phasetrace.../x/1", ""])
def test_a_name_without_a_schema_is_refused(name: str) -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match=r"there are phasetrace\.analysis/1, phasetrace\.baseline"):
        schemas.read(name)


def test_who_reads_a_schema_may_change_it() -> None:
    """It is a copy."""
    schemas.read("phasetrace.trend/1").clear()
    assert schemas.read("phasetrace.trend/1")["title"] == "phasetrace.trend/1"


@pytest.mark.parametrize("name", NAMES)
def test_every_member_is_described_with_its_unit(name: str) -> None:
    """Those that end in _ns are integers, and said to be nanoseconds."""
    for part in filter(is_object, parts(schemas.read(name))):
        assert part.get("description", "").endswith(".")
        assert set(part["required"]) <= set(part["properties"])
        for member, schema in part["properties"].items():
            assert schema["description"].endswith("."), member
            types = schema.get("type")
            if member.endswith("_ns"):
                assert types in ("integer", ["integer", "null"]), member
                assert "nanoseconds" in schema["description"] or member == "last_error_ns"
            if types == "number" and schema.get("maximum") == 1:
                assert "0 to 1" in schema["description"], member


def test_what_schemas_have_in_common_is_the_same() -> None:
    """Each file stands alone, and so repeats definitions of the others."""
    found: dict[str, list[Any]] = {}
    for name in NAMES:
        for key, schema in schemas.read(name).get("$defs", {}).items():
            found.setdefault(key, []).append(schema)
    several = {key: same for key, same in found.items() if len(same) > 1}
    assert {"execution", "finding", "groups", "usual", "verdict"} <= set(several)
    for key, same in several.items():
        assert all(one == same[0] for one in same), key


def test_lists_of_values_are_whole() -> None:
    """They follow the source."""
    assert schemas.read("phasetrace.breakdown/1")["properties"]["status"]["enum"] == sorted(
        filters.STATUSES, key=["running", "ok", "error", "cancelled", "abandoned"].index
    )
    finding = schemas.read("phasetrace.analysis/1")["$defs"]["finding"]
    assert tuple(finding["properties"]["kind"]["examples"]) == KINDS
    assert [one["if"]["properties"]["kind"]["const"] for one in finding["allOf"]] == list(KINDS)
    quantity = schemas.read("phasetrace.check/1")["$defs"]["budget"]["properties"]["quantity"]
    assert set(quantity["examples"]) == {*GROUP_QUANTITIES, *WHOLE_QUANTITIES}
    figures = schemas.read("phasetrace.baseline/1")["$defs"]
    for rows, quantities in (
        ("whole", WHOLE_QUANTITIES),
        ("node_figures", GROUP_QUANTITIES),
        ("phase_figures", GROUP_QUANTITIES),
    ):
        members = {member.removesuffix("_ns") for member in figures[rows]["required"]}
        assert members - {"node_id", "phase"} == set(quantities)


# What is printed


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.name)
def test_kept_answers_are_as_they_are_described(file: Path) -> None:
    """Those of every command that reads, on three recorded executions."""
    assert wrong(parsed(file.read_text())) == []


def test_there_are_kept_answers() -> None:
    """Should they be elsewhere one day, the test above must not pass for that."""
    assert {parsed(file.read_text())["schema"] for file in KEPT} >= {
        f"phasetrace.{name}/1" for name in ("breakdown", "check", "diff", "executions", "trend")
    }


@given(st.one_of(timelines.executions(), timelines.running()))
def test_executions_of_any_form_are_as_they_are_described(of: Any) -> None:
    """Running ones, too: nothing is negative that is said not to be."""
    assert wrong(parsed(json.dumps(of.breakdown().to_dict()))) == []
    assert wrong(parsed(json.dumps(analysis_of(Examination(of)).to_dict()))) == []


@given(st.lists(timelines.executions(), min_size=2, max_size=5), st.booleans())
def test_differences_of_any_form_are_as_they_are_described(of: list[Any], by: bool) -> None:
    """With iterations that are texts, numbers or nothing."""
    runs = [as_run(one, "phase of iteration" if by else "phase of node") for one in of]
    document = compare(runs[:2], runs[2:] or runs[:1]).to_dict()
    assert wrong(parsed(json.dumps(document))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_finding_is_described(kind: str) -> None:
    """By what is really found; and its evidence is that of no other kind."""
    (found, *_) = (one for one in every_finding() if one["kind"] == kind)
    document = {**parsed((ANSWERS / "iterations.metrics.json").read_text()), "findings": [found]}
    assert wrong(document) == []
    for other in every_finding():
        if {*other["evidence"]} != {*found["evidence"]}:
            document["findings"] = [{**found, "evidence": other["evidence"]}]
            assert wrong(document), other["kind"]


def every_finding() -> list[Any]:
    """Return findings of every kind as they are printed."""
    spans = [
        timelines.span(timelines.ROOT, None, 0, 1_000),
        timelines.span(2, 1, 0, 100, "a"),
        timelines.span(3, 1, 100, 300, "b", depends_on=["a"]),
        timelines.span(4, 1, 300, 500, "c", depends_on=["a"]),
        timelines.span(5, 3, 100, 150, "b", "again")._replace(metadata=1),
        timelines.span(6, 3, 150, 200, "b", "again")._replace(metadata=1),
        timelines.span(7, 4, 300, 350, "c", "retried")._replace(status="error"),
        timelines.span(8, 4, 350, 400, "c", "retried"),
        timelines.span(9, 1, 550, 600, "d", depends_on=["b", "c"]),
        timelines.span(10, 1, 600, 700, "e", "failed")._replace(status="error"),
        timelines.span(11, 1, 700, 800, "f", "beside"),
        timelines.span(12, 1, 800, 900, "g", depends_on=["d"]),
    ]
    found = Examination(timelines.recording(*spans)).findings
    return parsed(json.dumps(findings_list(ranked([*found, slower_than_usual(10, 5, 6)]))))  # type: ignore[no-any-return]


@pytest.mark.parametrize("by", ["node", "phase", "type", "iteration"])
def test_rows_have_what_they_are_added_up_by(by: str, printed: Printed) -> None:
    """Whatever that is."""
    run("exec_1", fails=True)
    document = printed("metrics", "exec_1", "--json", "--by", by)
    assert wrong(document) == []
    groups = document["analysis"]["groups"]
    for member in groups["by"]:
        changed = copy.deepcopy(document)
        del changed["analysis"]["groups"]["rows"][0][member]
        assert not is_valid(changed)


def test_what_a_process_says_of_itself() -> None:
    """The breakdown and the analysis, while it runs and afterwards."""
    with execution("exec_1"), node("n"), phase("p"):
        assert wrong(phasetrace.breakdown("exec_1").to_dict()) == []
    assert wrong(phasetrace.breakdown("exec_1").to_dict()) == []
    assert wrong(phasetrace.analyse("exec_1").to_dict()) == []


@pytest.mark.usefixtures("without_thread")
def test_a_running_execution_with_open_calls(
    record: Callable[..., Recording], fake_clock: FakeClock, path: Path, printed: Printed
) -> None:
    """As those who look on see it."""
    recording = record(now_ns=fake_clock)
    root = recording.root("exec_1", start=fake_clock())
    recording.phase("exec_1", "done", parent=root, start=fake_clock(), end=fake_clock())
    still = recording.start("exec_1", "waiting", parent=root, start=fake_clock())
    fake_clock.advance(2_000)
    recording.writer.flush()
    document = printed("metrics", "exec_1", "--json", "--source", str(path))
    assert wrong(document) == []
    assert (document["status"], document["open"][0]["phase"]) == ("running", "waiting")
    assert wrong(printed("list", "--json", "--source", str(path))) == []
    still.end(fake_clock())
    root.end(fake_clock())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a store of a recording's own is to be."""
    return tmp_path / "state" / "traces.db"


@pytest.mark.parametrize("status", ["ok", "running", "abandoned"])
def test_an_execution_without_spans(status: str, printed: Printed) -> None:
    """It has begun, and nothing more is known."""
    put([Run("exec_1", "nightly", status)])
    document = printed("metrics", "exec_1", "--json")
    assert wrong(document) == []
    assert (document["status"], document["nodes"], document["usual"]) == (status, [], None)
    assert wrong(printed("list", "--json")) == []
    assert wrong(printed("trend", "nightly", "--json")) == []


def test_an_execution_that_is_slower_than_usual(printed: Printed) -> None:
    """The verdict, and the finding that it is."""
    put([Run(f"exec_{at}", "nightly", ago_s=9_000 - at, duration_s=1) for at in range(12)])
    put([Run("slow", "nightly", duration_s=9)])
    document = printed("metrics", "slow", "--json")
    assert wrong(document) == []
    assert document["usual"]["what"] == "slower"
    assert document["findings"][0]["kind"] == "slower_than_usual"
    trend = printed("trend", "nightly", "--json")
    assert wrong(trend) == []
    assert trend["latest"]["what"] == "slower"


def test_trends(printed: Printed) -> None:
    """Of times and of shares; changed ones, and such that some runs have no value of."""
    put([Run(f"exec_{at}", "nightly", ago_s=9_000 - at, duration_s=1) for at in range(12)])
    put([Run(f"slow_{at}", "nightly", ago_s=900 - at, duration_s=9) for at in range(5)])
    document = printed("trend", "nightly", "--json")
    assert wrong(document) == []
    assert document["change"]["recent"]["runs"] == 5
    run("exec_x")
    document = printed("trend", "nightly", "--phase", "plan/call", "--of", "share", "--json")
    assert wrong(document) == []
    assert document["unit"] == "part"
    assert [one["value"] is None for one in document["runs"]] == [False] + 17 * [True]
    document["unit"] = "ns"
    assert not is_valid(document)


def test_differences(printed: Printed) -> None:
    """Of two runs and of two series; with iterations, too."""
    for at in range(3):
        run(f"exec_{at}")
    assert wrong(printed("diff", "exec_0", "exec_1", "--json")) == []
    document = printed("diff", "exec_0,exec_1", "exec_1,exec_2", "--by", "iteration", "--json")
    assert wrong(document) == []
    assert document["test"] is not None
    assert 1 in [row["iteration"] for row in document["rows"]]


def test_checks_and_baselines(
    printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Budgets of every unit and scope, with and without a baseline and prices."""
    monkeypatch.chdir(tmp_path)
    run("exec_1")
    run("exec_2", fails=True)
    Path("limits.toml").write_text(
        '[budgets]\nduration = "1ns"\n"plan:cost" = "1"\n"plan/call:tokens" = 5\nerrors = 9\n'
        '"*:share" = "+10%"\n"none" = "1s"\n"plan:p95" = { limit = "+1h", severity = "warn" }\n'
        '"write:tokens" = 1\n'
    )
    check = ["check", "exec_2", "--budgets", "limits.toml", "--json"]
    document = printed(*check)
    assert wrong(document) == []
    outcomes = {one["outcome"] for one in document["budgets"]}
    assert outcomes == {"kept", "exceeded", "no match", "no baseline", "no figure"}
    assert {one["unit"] for one in document["budgets"]} == {"ns", "part", "number", "money"}
    printed(*check, "--save-baseline", "b.json", "--last", "2")
    saved = parsed(Path("b.json").read_text())
    assert wrong(saved) == []
    assert len(saved["executions"]) == 2
    document = printed(*check, "--baseline", "b.json")
    assert wrong(document) == []
    assert document["baseline"] == ["exec_2", "exec_1"]


def test_what_verify_says(
    printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same, and of what is missing, more and different in every field."""
    monkeypatch.chdir(tmp_path)
    run("exec_1", fails=True)
    store = Path(os.environ["PHASETRACE_STORE"])
    otlp_files.write_otlp(store, Path("same"))
    same = printed("verify", "exec_1", "--source", "same", "--json")
    assert wrong(same) == []
    assert same["result"] == "identical"
    documents = list(otlp_files.lines(store))
    spans = [one for document in documents for one in otlp_files.spans_of(document)]
    call, save = ([one for one in spans if one["name"] == name][0] for name in ("call", "save"))
    call.update(name="other", parentSpanId="00000000000000ff", status={"code": 2})
    call.update(endTimeUnixNano=str(int(call["endTimeUnixNano"]) + 5))
    call["attributes"] = made.attributes({"exec_id": "exec_1", "node_id": "n", "iteration": 0.5})
    save["spanId"] = "00000000000000fe"
    Path("other").write_text("".join(f"{json.dumps(one)}\n" for one in documents))
    document = printed("verify", "exec_1", "--source", "other", "--json")
    assert wrong(document) == []
    assert (document["missing"]["count"], document["extra"]["count"]) == (1, 1)
    (changed,) = document["changed"]["spans"]
    assert {"parent_id", "node_id", "end_ns", "status", "usage"} <= set(changed["fields"])
    assert document["numbers"]


def test_where_a_store_stands(
    printed: Printed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With nothing to deliver, with what is refused, with what waits, and without limits."""
    run("exec_1")
    phasetrace.shutdown()
    document = printed("status", "--json")
    assert wrong(document) == []
    assert document["destinations"] == []
    with http_receiver() as receiver:
        receiver.answer = respond(400, b"never")
        phasetrace.configure(endpoint=f"http://127.0.0.1:{receiver.port}")
        run("exec_2")
        phasetrace.force_flush(5)
        receiver.answer = respond(503, b"not now")
        run("exec_3")
        phasetrace.shutdown()
    document = printed("status", "--json")
    assert wrong(document) == []
    assert document["refused_spans"]
    assert document["destinations"][0]["oldest_waiting_ns"]
    monkeypatch.setenv("PHASETRACE_RETENTION", "off")
    document = printed("status", "--json")
    assert wrong(document) == []
    assert document["store"]["max_bytes"] is None


def test_what_is_found_to_be_configured(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without problems, warnings and advice."""
    assert wrong(printed("doctor", "--json")) == []
    monkeypatch.setenv("PHASETRACE_DELIVERY", "soon")
    monkeypatch.setenv("PHASETRACE_TIMNG", "on")
    monkeypatch.setenv("PHASETRACE_TIMING", "on")
    document = printed("doctor", "--json")
    assert wrong(document) == []
    assert {one["level"] for one in document["checks"]} == {"ok", "warning", "problem"}


# What is not as it is described


def small(file: Path) -> Any:
    """Return a kept answer with one item in every list: others look the same."""

    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cut(one) if key != "by" else one for key, one in value.items()}
        return [cut(one) for one in value[:1]] if isinstance(value, list) else value

    return cut(parsed(file.read_text()))


def members(value: Any) -> Iterator[tuple[Any, str]]:
    """Give every object in a document with each of its members."""
    if isinstance(value, dict):
        yield from ((value, key) for key in value)
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from members(one)


@pytest.mark.parametrize(
    "file", [file for file in KEPT if "iterations" in file.name], ids=lambda file: file.name
)
def test_nothing_can_be_missing_or_of_another_type(file: Path) -> None:
    """Member by member; a float is another type where whole numbers are described."""
    document = small(file)
    assert is_valid(document)
    for holder, member in list(members(document)):
        value = holder.pop(member)
        assert is_valid(document) == (holder is document and member in NOT_ALWAYS), member
        holder[member] = {"another": "type"}
        assert not is_valid(document), member
        if type(value) is int and not isinstance(value, bool):
            holder[member] = value + 0.5
            is_whole = member.endswith("_ns") or "_" not in member
            if member.endswith("_ns"):
                assert not is_valid(document), member
            holder[member] = float(value)
            assert not member.endswith("_ns") or wrong(document), member
        holder[member] = value
    assert is_valid(document)


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.name)
def test_what_may_be_added_is_not_overlooked(file: Path) -> None:
    """A member more is fine for who reads, and has to be described before it is printed."""
    document = parsed(file.read_text())
    for holder in {id(holder): holder for holder, _ in members(small(file))}.values():
        assert "new" not in holder
    for holder, _ in members(document):
        holder["new"] = 1
        assert is_valid(document)
        assert wrong(document)
        del holder["new"]
        break
