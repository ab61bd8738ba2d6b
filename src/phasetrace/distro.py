"""The distro for ``opentelemetry-instrument``: ``OTEL_PYTHON_DISTRO=phasetrace``.

It has every library's spans made by phasetrace's provider. ``opentelemetry-instrument`` takes the
first distro that it finds where none is named, and takes a configurator in the same way. Being
installed must not be enough to be chosen, so without the variable this one is none, and there is no
configurator of ours.

Where ``OTEL_CONFIG_FILE`` says what the provider is to be, that is left to whoever reads the file,
and phases are made through the provider that comes of it.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from phasetrace.environment import choose_own_provider, distro_is_chosen, selected_configurator

_LOADER: Final = "opentelemetry.instrumentation.auto_instrumentation._load"
_PASSED_OVER: Final = "not loaded because"


def distro() -> Any:
    """Return the distro, or, where another one may be meant, something that is none."""
    if not distro_is_chosen():
        return None
    from opentelemetry.instrumentation.distro import BaseDistro

    class PhasetraceDistro(BaseDistro):  # type: ignore[misc]  # it ships no types
        def _configure(self, **kwargs: Any) -> None:
            if choose_own_provider():
                if selected_configurator() == "phasetrace":
                    logging.getLogger(_LOADER).addFilter(_is_news)
                from opentelemetry import trace

                trace.get_tracer_provider()  # the one that the environment names is made now

    return PhasetraceDistro()


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether a record says more than that configurators are passed over.

    It would be printed in every program, where opentelemetry-distro is installed, and whoever chose
    this distro has asked for just that.
    """
    return _PASSED_OVER not in str(record.msg)
