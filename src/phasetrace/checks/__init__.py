"""Checks of one subject each: what ``phasetrace doctor`` looks at."""
