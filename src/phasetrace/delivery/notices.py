"""What the log of a program is told of its delivery: each thing once."""

from __future__ import annotations

from collections.abc import Mapping

from phasetrace import faults
from phasetrace.store.ledger import Settlement


class RefusedError(Exception):
    """Why a receiver will not take a span."""


class Notices:
    """Says how a receiver fares, which is called `whither`. Not thread-safe."""

    def __init__(self, whither: str) -> None:
        self._whither = whither
        self._has_failed = False
        self._has_remarked = False

    def failed(self, reason: str) -> None:
        """Say why nothing can be delivered."""
        if not self._has_failed:
            self._has_failed = True
            faults.logger.warning(
                "phasetrace: cannot deliver to %s: %s; spans wait in the store",
                self._whither,
                reason,
            )

    def refused(self, reasons: Mapping[str, int]) -> None:
        """Say how many spans were refused, by reason."""
        for reason, number in reasons.items():
            faults.report(f"{self._whither} refused {number} of the spans", RefusedError(reason))

    def remarked(self, settlement: Settlement) -> None:
        """Say what the receiver says of what it took."""
        if self._has_remarked or not (settlement.remark or settlement.rejected):
            return
        self._has_remarked = True
        thrown = f"did not keep {settlement.rejected} of the spans" if settlement.rejected else ""
        said = f"it says: {settlement.remark}" if settlement.remark else ""
        faults.logger.warning(
            "phasetrace: %s %s", self._whither, "; ".join(filter(None, (thrown, said)))
        )
