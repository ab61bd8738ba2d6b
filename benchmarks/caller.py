"""What a phase costs the program that is measured: rows 1 to 6, and the overview of all shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import isolated
from benchmarks.contestants import CONTESTANTS, Contestant, available, set_up
from benchmarks.effort import Effort
from benchmarks.lines import Bar, Line, line_of
from benchmarks.rounds import Entrant, Work, compare, interleaved
from benchmarks.shapes import OVERVIEW, SHAPES

Samples = dict[str, dict[str, list[float]]]


def measured(pairs: Sequence[tuple[str, str]], rounds: int) -> Samples:
    """Time pairs of contestant and shape in turn; return ns per operation by shape and contestant.

    Pairs of a shape that a contestant does not have are left out.
    """
    samples: Samples = {}
    with set_up(dict.fromkeys(key for key, _ in pairs)) as contestants:
        entrants = {
            f"{key} {shape}": _entrant(contestants[key], key, shape)
            for key, shape in pairs
            if hasattr(contestants[key].program, SHAPES[shape].method)
        }
        for name, taken in interleaved(entrants, rounds).items():
            key, shape = name.split()
            samples.setdefault(shape, {})[key] = taken
    return samples


def overview(rounds: int) -> Samples:
    """Time every contestant in every shape; one shape after the other."""
    samples: Samples = {}
    for shape in OVERVIEW:
        samples.update(measured([(key, shape) for key in available()], rounds))
    return samples


def row_1(effort: Effort) -> Iterator[Line]:
    """Compare a phase to the plain collector's."""
    bar = Bar(1.2, "≤ 1.2")
    yield _line("1", "time_phase", ("phasetrace", "single"), ("plain", "single"), bar, effort)


def row_2(effort: Effort) -> Iterator[Line]:
    """Compare a phase to what does the same with the stock SDK."""
    bar = Bar(1 / 10, "≤ 1/10")
    yield _line("2", "time_phase", ("phasetrace", "single"), ("sdk_batch", "single"), bar, effort)


def row_3(effort: Effort) -> Iterator[Line]:
    """Compare a span of phasetrace's provider to a span of the stock one."""
    bar = Bar(1 / 4, "≤ 1/4")
    ours, theirs = ("phasetrace_bare", "bare"), ("sdk_bare", "bare")
    yield _line("3", "start_as_current_span", ours, theirs, bar, effort)


def row_4(effort: Effort) -> Iterator[Line]:
    """Compare what is switched off to the API's no-op span."""
    bar = Bar(1 / 10, "≤ 1/10")
    noop = ("noop", "off_bare")
    yield _line("4", "disabled: empty exec_id", ("phasetrace", "disabled"), noop, bar, effort)
    switched_off = {"OTEL_SDK_DISABLED": "true"}
    what = "disabled: OTEL_SDK_DISABLED"
    yield _line("4", what, ("phasetrace", "off"), noop, bar, effort, switched_off)


def row_5(effort: Effort) -> Iterator[Line]:
    """Compare a decorated function to the same one within `time_phase`."""
    bar = Bar(1.5, "≤ 1.5")
    ours, theirs = ("phasetrace", "decorated"), ("phasetrace", "wrapped")
    yield _line("5", "@timed, 4 parameters", ours, theirs, bar, effort)


def rows_of_shapes(effort: Effort) -> Iterator[Line]:
    """Compare phasetrace to everybody in every shape."""
    for shape, samples in isolated.call(overview, effort.rounds).items():
        ours = "phasetrace" if "phasetrace" in samples else "phasetrace_bare"
        for key, taken in samples.items():
            if key != ours:
                comparison = compare(samples[ours], taken)
                yield line_of("shapes", SHAPES[shape].title, CONTESTANTS[key][0], comparison)


def _line(
    row: str,
    what: str,
    ours: tuple[str, str],
    theirs: tuple[str, str],
    bar: Bar,
    effort: Effort,
    environ: dict[str, str] | None = None,
) -> Line:
    samples = isolated.call(measured, [ours, theirs], effort.rounds, environ=environ)
    comparison = compare(samples[ours[1]][ours[0]], samples[theirs[1]][theirs[0]])
    against = CONTESTANTS[theirs[0]][0] if theirs[0] != ours[0] else SHAPES[theirs[1]].title
    return line_of(row, what, against, comparison, bar)


def _entrant(contestant: Contestant, key: str, shape: str) -> Entrant:
    method, operations, _ = SHAPES[shape]

    def prepare(number: int) -> Work:
        work: Work = getattr(contestant.program, method)(f"{key}_{shape}_{number}", operations)
        return work

    def clear(number: int) -> None:
        contestant.clear(f"{key}_{shape}_{number}")

    return Entrant(prepare, operations, clear)
