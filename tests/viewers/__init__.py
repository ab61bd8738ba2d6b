"""Exports, opened with the tools that they are for."""
