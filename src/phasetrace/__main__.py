"""``python -m phasetrace``: the command line."""

from __future__ import annotations

import sys

from phasetrace.cli import main

sys.exit(main())
