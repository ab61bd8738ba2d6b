"""Instrumentations of opentelemetry-python-contrib on phasetrace's provider, and inside its phases.

Each is installed from PyPI and instruments the real thing; every test also runs on a stock SDK
provider with phasetrace's processors (the `spans` fixture).
"""
