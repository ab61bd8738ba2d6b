"""Where executions can be read from: the store, a file of OTLP JSON lines, Jaeger.

`open_source` opens one; whatever it is, it answers as a `Source`. No OpenTelemetry in here.
"""
