"""Delivery: bringing stored spans to where they are to go, in order, at least once."""
