"""Test what the figures are that budgets limit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.groups import BY
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.usage import Price
from phasetrace.budgets.figures import (
    GROUP_QUANTITIES,
    NODES,
    PHASES,
    WHOLE_QUANTITIES,
    figures_of,
    figures_of_breakdown,
)
from phasetrace.spans import PhaseKey, Usage, key_of
from tests.phasetrace.analysis.timelines import running
from tests.phasetrace.budgets.executions import MS, PIPELINE, Written, checked, measured, recording

PRICES = {"gpt-*": Price(2.5, 10.0)}
FIELDS = {
    "total": "total_ns",
    "self": "self_ns",
    "critical": "critical_ns",
    "max": "max_ns",
    "p50": "p50_ns",
    "p95": "p95_ns",
    "p99": "p99_ns",
    "count": "calls",
    "errors": "errors",
    "cancelled": "cancelled",
}

spans = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from([None, "p", "q"]),
        st.integers(0, 500),
        st.integers(0, 500),
    ).map(lambda one: (*one[:2], one[2], one[2] + one[3])),
    min_size=1,
    max_size=12,
)


def test_the_whole() -> None:
    """Of a pipeline that idles for its last second, of ten."""
    whole = measured(PIPELINE, PRICES).figures.whole
    assert whole == {
        "duration": 10_000 * MS,
        "critical_path": 9_000 * MS,
        "unattributed": 0.1,
        "spans": 7,
        "errors": 1,
        "cancelled": 0,
        "tokens": 4_200,
        "input_tokens": 4_000,
        "output_tokens": 200,
        "unpriced": 0,
        "cost": pytest.approx(0.012),
    }


def test_waiting_is_not_in_the_critical_path() -> None:
    """It is nobody's: what a node waits for has ended, and it has not begun."""
    of = recording(("a", None, 0, 4_000), ("b", None, 6_000, 10_000))
    spans = [span._replace(depends_on=("a",) if span.name == "b" else ()) for span in of.spans]
    assert measured(of._replace(spans=spans)).figures.whole["critical_path"] == 8_000 * MS


def test_nodes_and_phases() -> None:
    """Each has all that can be limited of it, and a node what its phases took as well."""
    figures = measured(PIPELINE, PRICES).figures
    node, phase = (
        figures.nodes[PhaseKey("fetch", None)],
        figures.phases[PhaseKey("fetch", "download")],
    )
    assert (node["count"], node["total"]) == (1, 5_000 * MS)
    assert node["cost"] == pytest.approx(0.012)
    assert (phase["count"], phase["total"], phase["max"]) == (2, 5_500 * MS, 3_500 * MS)
    assert phase["share"] == 0.45
    assert PhaseKey("plan", None) not in figures.phases
    assert len(figures.phases) == 3


def test_every_quantity_has_a_figure() -> None:
    """What can be written in a budget can be judged."""
    figures = measured(PIPELINE).figures
    assert figures.whole.keys() == WHOLE_QUANTITIES.keys()
    for row in (*figures.nodes.values(), *figures.phases.values()):
        assert row.keys() == GROUP_QUANTITIES.keys()


def test_what_calls_no_models_has_no_usage() -> None:
    """It has not taken nothing: nothing is known of it."""
    row = measured(PIPELINE).figures.nodes[PhaseKey("plan", None)]
    assert (row["tokens"], row["cost"]) == (None, None)


def test_without_prices_there_is_no_cost() -> None:
    """But there are tokens, and how many of them have no price."""
    whole = measured(PIPELINE).figures.whole
    assert (whole["tokens"], whole["unpriced"], whole["cost"]) == (4_200, 4_200, None)


@pytest.mark.parametrize("of", [(), (NODES,), (PHASES,), (NODES, PHASES)])
def test_only_what_is_asked_for(of: tuple[str, ...]) -> None:
    """The whole is the same whatever is worked out beside it."""
    figures = figures_of(Examination(PIPELINE), of)
    everything = measured(PIPELINE).figures
    assert figures.whole == everything.whole
    assert figures.nodes == (everything.nodes if NODES in of or not of else {})
    assert figures.phases == (everything.phases if PHASES in of else {})


@given(spans)
def test_the_judged_figure_is_the_groups_figure(written: list[Written]) -> None:
    """Whatever is limited, of whatever matches."""
    of = recording(*written, duration_ms=1_000)
    budgets: dict[str, Any] = {}
    for quantity in GROUP_QUANTITIES:
        limit = "0s" if quantity in FIELDS and FIELDS[quantity].endswith("_ns") else 0
        for pattern in ("*", "*/*"):
            budgets[f"{pattern}:{quantity}"] = "0%" if quantity == "share" else limit
    judged = {
        (one.budget.quantity, match.one): match.figure
        for one in checked(of, budgets).judgements
        for match in one.matches
    }
    examination = Examination(of)
    number = 0
    for by in ("node", "phase of node"):
        grouped = examination.groups(BY[by])
        for row in grouped.rows:
            if by != "node" and row.key[1] is None:
                continue
            key = PhaseKey(*row.key) if by != "node" else PhaseKey(row.key[0], None)  # type: ignore[arg-type]
            assert judged["share", key] == row.share_ns / grouped.wall_ns
            for quantity, field in FIELDS.items():
                assert judged[quantity, key] == getattr(row, field), (quantity, key)
            number += 1
    assert len({key for quantity, key in judged if quantity == "total"}) == number


@given(spans)
def test_a_breakdown_says_the_same(written: list[Written]) -> None:
    """Of what it can tell at all; shares are rounded where they are added up, to a nanosecond."""
    of = recording(*written, duration_ms=1_000)
    full, part = measured(of).figures, figures_of_breakdown(of.breakdown())
    assert part.whole.items() <= full.whole.items()
    for some, all_ in ((part.nodes, full.nodes), (part.phases, full.phases)):
        assert some.keys() == all_.keys()
        for key, row in some.items():
            whole_row = all_[key]
            assert row["share"] == pytest.approx(whole_row["share"], abs=2e-8)
            assert row.items() <= {**whole_row, "share": row["share"]}.items()
    assert not {"critical_path", "cost"} & part.whole.keys()


@given(running())
def test_open_calls_count_with_their_time_so_far(of: Recording) -> None:
    """In total, self and max: as if they ended now. A breakdown says the same of what it tells."""
    ends = [*(span.end_ns for span in of.spans), *(span[2] for span in of.open_spans)]
    assume(of.now_ns is None or of.now_ns >= max([1, *ends]))  # now is later than all else
    figures, told = measured(of).figures, figures_of_breakdown(of.breakdown())
    ended = of._replace(spans=of.all_spans(), open_spans=()).breakdown()
    calls: dict[PhaseKey, list[int]] = {}
    for span in of.all_spans():
        key = key_of(span)
        if key is not None:
            calls.setdefault(key, []).append(max(0, span.end_ns - span.start_ns))
    by_phase = {
        PhaseKey(node.node_id, phase.phase): phase for node in ended.nodes for phase in node.phases
    }
    assert figures.phases.keys() == by_phase.keys()
    for key, row in figures.phases.items():
        assert (row["total"], row["max"]) == (sum(calls[key]), max(calls[key]))
        assert row["self"] == by_phase[key].self_ns
        assert told.phases[key]["total"] == row["total"]
        assert told.phases[key]["max"] == row["max"]
        assert told.phases[key]["self"] in (row["self"], None)
        assert (row["p95"] is None) == (row["count"] == 0)
    for node in ended.nodes:
        row = figures.nodes[PhaseKey(node.node_id, None)]
        assert row["total"] == node.total_ns
        assert told.nodes[PhaseKey(node.node_id, None)]["total"] in (node.total_ns, None)
        assert told.nodes[PhaseKey(node.node_id, None)]["self"] in (row["self"], None)


def test_a_cost_of_the_program_s_own() -> None:
    """It is what the program says."""
    whole = measured(recording(("a", "p", 0, 1, Usage(5, 5, None, 0.25)))).figures.whole
    assert (whole["cost"], whole["unpriced"]) == (0.25, 0)
