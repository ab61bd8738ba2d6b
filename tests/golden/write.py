"""Write all kept answers anew, to be looked at: ``TZ=UTC python -m tests.golden.write``."""

from __future__ import annotations

from tests.golden.cases import ANSWERS, COMMANDS, NAMES, answer, kept_in

if __name__ == "__main__":
    ANSWERS.mkdir(exist_ok=True)
    for name in NAMES:
        for ending in COMMANDS:
            kept_in(name, ending).write_text(answer(name, ending))
