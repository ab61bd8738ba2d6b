"""OpenTelemetry's own tests, run on phasetrace's provider, tracer and span."""
