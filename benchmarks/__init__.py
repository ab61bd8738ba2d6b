"""phasetrace side by side with what a user would pick instead: ``python -m benchmarks``.

Every comparison is made in one process, in interleaved rounds, and is reported as the ratio of two
medians: a slow machine, or one that is slow just now, is slow for both. What is timed is the
caller's cost, the time that a phase takes from the program being measured. Between two timed blocks
everything is flushed, so that nobody pays for another's background work; that work is counted, as
CPU time of the whole process, in rows 9 and 10.

`contestants` and `plain_collector` are what is compared, `program` is what they are made to do,
`rounds` does the timing. A row of the table is made by one of `caller`, `threads`, `memory`,
`encoder`, `process_cpu` and `burst`; `rows` lists them, `table` prints them.
"""
