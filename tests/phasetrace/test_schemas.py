"""What is published of the JSON is true: of what is kept of it, and of what commands print."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import phasetrace
from phasetrace import execution, node, phase, schemas
from phasetrace.analysis.comparison import compare
from phasetrace.analysis.execution import Examination, analysis_of
from phasetrace.analysis.findings import KINDS, ranked, slower_than_usual
from phasetrace.analysis.plain import findings_list
from phasetrace.analysis.recording import Recording as AnyRecording
from phasetrace.budgets.budget import STATUS
from phasetrace.budgets.figures import GROUP_QUANTITIES, WHOLE_QUANTITIES
from phasetrace.cli import filters, main
from tests.conftest import FakeClock
from tests.golden.cases import ANSWERS
from tests.phasetrace.analysis import timelines
from tests.phasetrace.analysis.test_comparison import as_run
from tests.phasetrace.cli.stored_runs import Run, put
from tests.phasetrace.described import (
    FOLDER,
    NAMES,
    PUBLISHED,
    as_json,
    members,
    nothing_can_be_missing,
    objects,
    parsed,
    small,
    wrong,
)
from tests.phasetrace.receivers import http_receiver, respond
from tests.phasetrace.recordings import made, otlp_files
from tests.phasetrace.store.conftest import Recording, path, record, without_thread

__all__ = ["path", "record", "without_thread"]

Printed = Callable[..., Any]

SOURCE: Final = FOLDER.parent
NUMERIC: Final = [type_ for of in ("integer", "number") for type_ in (of, [of, "null"])]
KEPT: Final = sorted(ANSWERS.glob("*.json"))


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Return a function that calls a command and returns the JSON that it prints."""

    def call(*arguments: str) -> Any:
        capsys.readouterr()
        assert main(list(arguments)) in (0, 1)
        return parsed(capsys.readouterr().out)

    return call


def run(exec_id: str, name: str = "nightly", fails: bool = False) -> None:
    """Record an execution with nodes that depend on each other, a call of a model, a failure."""
    with execution(exec_id, name=name):
        with node("plan", node_type="llm"), phase("call") as span:
            span.set_attribute("gen_ai.usage.input_tokens", 1_200)
            span.set_attribute("gen_ai.request.model", "m")
        with node("write", iteration=1, depends_on=["plan"]):
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
    """By the schema of schemas; and it says its name."""
    schema = schemas.read(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    family, version = name.removeprefix("phasetrace.").split("/")
    assert schema["$id"] == f"urn:phasetrace:{family}:{version}"
    assert schema["title"] == schema["properties"]["schema"]["const"] == name
    assert (FOLDER / f"{family}-{version}.json").read_bytes().isascii()


@pytest.mark.parametrize("name", ["breakdown", "phasetrace.breakdown/0", "phasetrace.../x/1", ""])
def test_a_name_without_a_schema_is_refused(name: str) -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match=r"there are phasetrace\.analysis/1, phasetrace\.baseline"):
        schemas.read(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_member_is_described_with_its_unit(name: str) -> None:
    """What ends in _ns is whole nanoseconds, parts go from 0 to 1, and changes alone below 0."""
    for part in objects(schemas.read(name)):
        assert part["description"].endswith(".")
        assert set(part["required"]) <= set(part["properties"])
        for member, schema in part["properties"].items():
            said = schema["description"]
            assert said.endswith("."), member
            if member.endswith("_ns"):
                assert schema["type"] in ("integer", ["integer", "null"]), member
                assert "nanoseconds" in said, member
            if schema.get("maximum") == 1:
                assert "0 to 1" in said, member
            if schema.get("type") in NUMERIC:
                is_bounded = {"minimum", "exclusiveMinimum"} & set(schema)
                assert is_bounded or member == "change_ns", member


def test_what_schemas_have_in_common_is_the_same() -> None:
    """Each file stands alone, and so repeats definitions of others."""
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
    status = schemas.read("phasetrace.breakdown/1")["properties"]["status"]
    assert set(status["enum"]) == set(filters.STATUSES)
    finding = schemas.read("phasetrace.analysis/1")["$defs"]["finding"]
    assert tuple(finding["properties"]["kind"]["examples"]) == KINDS
    assert [one["if"]["properties"]["kind"]["const"] for one in finding["allOf"]] == list(KINDS)
    quantity = schemas.read("phasetrace.check/1")["$defs"]["budget"]["properties"]["quantity"]
    assert set(quantity["examples"]) == {*GROUP_QUANTITIES, *WHOLE_QUANTITIES, STATUS}


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
def test_executions_of_any_form_are_as_they_are_described(of: AnyRecording) -> None:
    """Running ones, too: nothing is negative that is said not to be."""
    assert wrong(as_json(of.breakdown().to_dict())) == []
    assert wrong(as_json(analysis_of(Examination(of)).to_dict())) == []


@given(
    st.lists(timelines.executions(), min_size=2, max_size=5),
    st.sampled_from(["phase of node", "phase of iteration"]),
)
def test_differences_of_any_form_are_as_they_are_described(of: list[AnyRecording], by: str) -> None:
    """With iterations that are texts, numbers or nothing."""
    runs = [as_run(one, by) for one in of]
    assert wrong(as_json(compare(runs[:2], runs[2:] or runs[:1]).to_dict())) == []


def every_finding() -> dict[str, Any]:
    """Return findings of every kind as they are printed."""
    span = timelines.span
    spans = [
        span(timelines.ROOT, None, 0, 1_000),
        span(2, 1, 0, 100, "a"),
        span(3, 1, 100, 300, "b", depends_on=["a"]),
        span(4, 1, 300, 500, "c", depends_on=["a"]),
        span(5, 4, 300, 350, "c", "retried")._replace(status="error"),
        span(6, 4, 350, 400, "c", "retried"),
        span(7, 1, 550, 600, "d", depends_on=["b", "c"]),
        span(8, 1, 600, 700, "e", "failed")._replace(status="error"),
        span(9, 1, 800, 900, "f", depends_on=["d"]),
        span(10, 9, 800, 830, "f", "again")._replace(metadata=1),
        span(11, 9, 830, 860, "f", "again")._replace(metadata=1),
        span(12, 9, 860, 900, "f", "again")._replace(metadata=2),
        span(13, 1, 700, 800, "g", "beside"),
    ]
    found = Examination(timelines.recording(*spans)).findings
    plain = findings_list(ranked([*found, slower_than_usual(10, 5, 6)]))
    return {one["kind"]: as_json(one) for one in plain}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_finding_is_described(kind: str) -> None:
    """As it is found; the evidence of another kind would be no evidence of it."""
    document = parsed((ANSWERS / "iterations.metrics.json").read_text())
    findings = every_finding()
    found = findings[kind]
    document["findings"] = [found]
    assert wrong(document) == []
    nothing_can_be_missing(document)
    for other in findings.values():
        if other["evidence"].keys() != found["evidence"].keys():
            document["findings"] = [{**found, "evidence": other["evidence"]}]
            assert wrong(document), other["kind"]


@pytest.mark.parametrize("by", ["node", "phase", "type", "iteration"])
def test_rows_have_what_they_are_added_up_by(by: str, printed: Printed) -> None:
    """Whatever that is."""
    run("exec_1", fails=True)
    document = printed("metrics", "exec_1", "--json", "--by", by)
    assert wrong(document) == []
    groups = document["analysis"]["groups"]
    for member in groups["by"]:
        value = groups["rows"][0].pop(member)
        assert wrong(document), member
        groups["rows"][0][member] = value


def test_what_a_process_says_of_itself() -> None:
    """The breakdown and the analysis, during the execution and afterwards."""
    with execution("exec_1"), node("n"), phase("p"):
        assert wrong(as_json(phasetrace.breakdown("exec_1").to_dict())) == []
    assert wrong(as_json(phasetrace.breakdown("exec_1").to_dict())) == []
    analysis = as_json(phasetrace.analyse("exec_1").to_dict())
    assert wrong(analysis) == []
    nothing_can_be_missing(analysis)


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


@pytest.mark.parametrize("status", ["ok", "running", "abandoned"])
def test_an_execution_without_spans(status: str, printed: Printed) -> None:
    """It has begun, and nothing more is known."""
    put([Run("exec_1", "nightly", status)])
    document = printed("metrics", "exec_1", "--json")
    assert wrong(document) == []
    assert (document["status"], document["nodes"], document["usual"]) == (status, [], None)
    assert wrong(printed("list", "--json")) == []
    assert wrong(printed("trend", "nightly", "--json")) == []


def test_what_is_slower_than_usual(printed: Printed) -> None:
    """The verdict, the finding, and the trend."""
    put([Run(f"exec_{at}", "nightly", ago_s=9_000 - at, duration_s=1) for at in range(12)])
    put([Run(f"slow_{at}", "nightly", ago_s=900 - at, duration_s=9) for at in range(5)])
    document = printed("metrics", "slow_0", "--json")
    assert wrong(document) == []
    assert document["usual"]["what"] == "slower"
    assert document["findings"][0]["kind"] == "slower_than_usual"
    trend = printed("trend", "nightly", "--json")
    assert wrong(trend) == []
    assert (trend["latest"]["what"], trend["change"]["recent"]["runs"]) == ("as usual", 5)


def test_a_trend_of_parts(printed: Printed) -> None:
    """Which some runs do not have; the same values are no nanoseconds."""
    put([Run("exec_0", "nightly")])
    run("exec_1")
    document = printed("trend", "nightly", "--phase", "plan/call", "--of", "share", "--json")
    assert wrong(document) == []
    assert (document["unit"], document["runs"][1]["value"]) == ("part", None)
    assert wrong({**document, "unit": "ns"})


def test_differences_of_series(printed: Printed) -> None:
    """With tests, and iterations."""
    for at in range(4):
        run(f"exec_{at}")
    document = printed("diff", "exec_0,exec_1", "exec_2,exec_3", "--by", "iteration", "--json")
    assert wrong(document) == []
    assert document["test"] is not None
    assert 1 in [row["iteration"] for row in document["rows"]]
    nothing_can_be_missing(document)


def test_checks_and_baselines(
    printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Budgets of every unit and outcome, with a baseline and without."""
    monkeypatch.chdir(tmp_path)
    run("exec_1")
    run("exec_2", fails=True)
    Path("limits.toml").write_text(
        '[budgets]\nduration = "1ns"\n"plan:cost" = "1"\n"plan/call:tokens" = 5\nerrors = 9\n'
        '"*:share" = "+10%"\n"none" = "1s"\n"plan:p95" = { limit = "+1h", severity = "warn" }\n'
    )
    check = ["check", "exec_2", "--budgets", "limits.toml", "--json"]
    document = printed(*check, "--save-baseline", "b.json", "--last", "2")
    assert wrong(document) == []
    outcomes = {one["outcome"] for one in document["budgets"]}
    assert outcomes == {"kept", "exceeded", "no match", "no baseline", "no figure"}
    assert {one["unit"] for one in document["budgets"]} == {"ns", "part", "number", "money"}
    saved = parsed(Path("b.json").read_text())
    assert wrong(saved) == []
    assert len(saved["executions"]) == 2
    nothing_can_be_missing(saved)
    document = printed(*check, "--baseline", "b.json")
    assert wrong(document) == []
    assert document["baseline"] == ["exec_2", "exec_1"]
    for one in document["budgets"]:
        one["worst"] = one["worst"] and {**one["worst"], "figure": 0.5}
    halves = {at.split(".")[1] for at in wrong(document)}
    assert halves == {
        f"budgets[{at}]"
        for at, one in enumerate(document["budgets"])
        if one["unit"] in ("ns", "number") and one["worst"]
    }


def test_what_verify_says(
    printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same, and of what is missing, more and different in many fields."""
    monkeypatch.chdir(tmp_path)
    run("exec_1", fails=True)
    documents = list(otlp_files.lines(Path(os.environ["PHASETRACE_STORE"])))

    def verified() -> Any:
        Path("f").write_text("".join(f"{json.dumps(one)}\n" for one in documents))
        return printed("verify", "exec_1", "--source", "f", "--json")

    same = verified()
    assert wrong(same) == []
    assert same["result"] == "identical"
    spans = {one["name"]: one for document in documents for one in otlp_files.spans_of(document)}
    spans["save"]["spanId"] = "00000000000000fe"
    spans["call"].update(
        name="other",
        parentSpanId="00000000000000ff",
        endTimeUnixNano=str(int(spans["call"]["endTimeUnixNano"]) + 5),
        status={"code": 2},
        attributes=made.attributes({"exec_id": "exec_1", "node_id": "n", "iteration": 0.5}),
    )
    document = verified()
    assert wrong(document) == []
    assert (document["missing"]["count"], document["extra"]["count"]) == (1, 1)
    (changed,) = document["changed"]["spans"]
    assert {"parent_id", "node_id", "end_ns", "status", "usage"} <= set(changed["fields"])
    nothing_can_be_missing(document)


def test_where_a_store_stands(
    printed: Printed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With nothing to deliver; with spans that were refused, and such that wait."""
    run("exec_0")
    phasetrace.shutdown()
    assert wrong(printed("status", "--json")) == []
    with http_receiver() as receiver:

        def answer(handler: Any) -> None:
            respond(400 if b"save" in receiver.bodies[-1] else 200)(handler)

        receiver.answer = answer
        phasetrace.configure(endpoint=f"http://127.0.0.1:{receiver.port}")
        run("exec_1")
        phasetrace.force_flush(5)
        receiver.answer = respond(503)
        with execution("exec_2"):
            pass
        phasetrace.shutdown()
    document = printed("status", "--json")
    assert wrong(document) == []
    assert document["refused_spans"][0]["name"] == "save"
    assert document["destinations"][0]["waiting"] == 1
    nothing_can_be_missing(document)


def test_what_is_found_to_be_configured(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    """With problems, warnings and advice, and without."""
    assert wrong(printed("doctor", "--json")) == []
    monkeypatch.setenv("PHASETRACE_DELIVERY", "soon")
    monkeypatch.setenv("PHASETRACE_TIMNG", "on")
    monkeypatch.setenv("PHASETRACE_TIMING", "on")
    document = printed("doctor", "--json")
    assert wrong(document) == []
    assert {one["level"] for one in document["checks"]} == {"ok", "warning", "problem"}
    nothing_can_be_missing(document)


# What is not as it is described


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.name)
def test_kept_answers_could_not_be_otherwise(file: Path) -> None:
    """Without a member, with another type, or with half a nanosecond."""
    nothing_can_be_missing(parsed(file.read_text()))


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.name)
def test_what_is_added_is_not_overlooked(file: Path) -> None:
    """A member more is fine for who reads, and is described before it is printed."""
    document = small(parsed(file.read_text()))
    holders = {id(holder): holder for holder, _ in members(document)}
    for holder in holders.values():
        holder["new"] = 1
        assert PUBLISHED[document["schema"]].is_valid(document)
        assert wrong(document)
        del holder["new"]
