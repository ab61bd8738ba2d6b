"""phasetrace in programs that others trace as well: it takes nothing away and adds nothing twice.

The others are logfire, ddtrace, ``opentelemetry-instrument``, OpenTelemetry's configuration files
and other libraries that use phasetrace. Each test runs `application` in a process of its own, which
takes the steps it is told to; `claims` says what has to be true of it.
"""
