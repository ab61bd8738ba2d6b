"""opentelemetry-sdk's own tests, run on phasetrace's provider and span."""
