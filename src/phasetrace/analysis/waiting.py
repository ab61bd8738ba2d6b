"""Time for which nodes waited although all that they depend on was done."""

from __future__ import annotations

from phasetrace.analysis.network import Network


def waiting(network: Network) -> dict[int, int]:
    """Return how long after all that it waited for each run of a node started (ns).

    All that is what it depends on, and the start of the span that it begins in. By index; only runs
    of which dependencies are known, and all of those were done before.
    """
    waits = {}
    for place, runs in network.waited_for.items():
        done_ns = max(network.ends[run] for run in runs)
        if done_ns <= network.starts[place]:
            could_ns = max(done_ns, network.starts[network.begins_in[place]])
            waits[place] = network.starts[place] - could_ns
    return waits
