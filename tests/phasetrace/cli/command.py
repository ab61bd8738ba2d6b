"""What the installed command is: a script that calls the command line."""

from __future__ import annotations

import sys

from phasetrace.cli import main

if __name__ == "__main__":
    sys.exit(main())
