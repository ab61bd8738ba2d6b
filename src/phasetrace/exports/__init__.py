"""An execution in the formats of other tools: a module for each of them.

What they all are made of is an `ExportedExecution` (`phasetrace.exports.exported`); which there are
is in `phasetrace.exports.formats`. No OpenTelemetry in here.
"""
