"""The local store: a SQLite file that keeps executions and their spans."""
