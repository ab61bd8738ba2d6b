"""Limits for what executions may take, and whether one has kept to them.

A budget limits one *quantity* of an execution, of its nodes or of its phases, either absolutely or
against a *baseline*: the same quantity of earlier executions. Functions of plain values; no clock,
no terminal and no OpenTelemetry in here.
"""
