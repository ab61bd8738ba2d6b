"""What the spans of an execution say beyond their totals; pure functions on plain spans.

No clock, no files, no OpenTelemetry in here. Times are integer nanoseconds of one clock. Whatever
order spans come in, and whatever is wrong with them (a parent that is missing or starts too late,
circles, dependencies on nothing), every function gives an answer.
"""
