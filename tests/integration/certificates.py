"""Certificates for tests: an authority, and what it issues, as files."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import trustme

HERE = ("localhost", "127.0.0.1")


class Issued(NamedTuple):
    """A certificate and its key, in PEM."""

    certificate: Path
    key: Path


class Authority:
    """One that nobody trusts unless told to; its files are in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA()
        self.certificate = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.certificate)

    def issue(self, name: str, *identities: str, has_expired: bool = False) -> Issued:
        """Issue a certificate for hosts (default: this machine) or people."""
        now = datetime.now(timezone.utc)
        until = now - timedelta(days=1) if has_expired else None
        made = self._authority.issue_cert(
            *(identities or HERE), not_before=now - timedelta(days=30), not_after=until
        )
        issued = Issued(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        issued.certificate.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        made.private_key_pem.write_to_path(issued.key)
        return issued
