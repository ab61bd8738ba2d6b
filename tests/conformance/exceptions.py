"""The tests of OpenTelemetry that may fail, each with its reason.

Both lists are by the name of the `upstream_tests.Upstream` and the test as in
`upstream_tests.Outcomes.ends`. The conformance suite fails if one of these does not exist in the
installed version or passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PRIVATE_STRUCTURE: Final[Mapping[str, Mapping[str, str]]] = {}
"""What a test looks at of the inside of the SDK, and does not find in phasetrace.

Nothing that a user, an instrumentation or an exporter can tell apart belongs here.
"""

WITHOUT_AN_SDK: Final[Mapping[str, Mapping[str, str]]] = {
    "api": {
        "tests/trace/test_proxy.py::TestProxy::test_proxy_tracer": (
            "a proxy's span does nothing as long as no provider is set"
        ),
        "tests/trace/test_tracer.py::TestTracer::test_get_current_span": (
            "the span of a tracer that does nothing is not recording"
        ),
    },
}
"""What a test says of the API's stand-ins, and is not so of any SDK: it fails on stock, too."""
