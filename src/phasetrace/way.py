"""How a process gets to where it delivers, and as whom, beside the address and the headers.

Who sends is a part of a destination: what one tenant has recorded must not go out in another one's
name. A client's certificate says so by its *path*. What is in the file is renewed every few weeks
or hours, and he is the same still; nor does the key's path count, for it belongs to the certificate
and says nothing more.

The *way* is all else that may be wrong with one process and right with the next: whom it trusts,
which proxy it goes through, how long it waits. Both are told as digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from phasetrace.credential_provider import PROVIDERS
from phasetrace.environment import own_environ
from phasetrace.sending import otlp_variables, shipping_environment
from phasetrace.settings import Settings

_DIGITS: Final = 12
_OTLP: Final = "OTEL_EXPORTER_OTLP_"
_IN_THE_KEY: Final = ("ENDPOINT", "HEADERS", "PROTOCOL")
_OTHER_SIGNALS: Final = (f"{_OTLP}METRICS_", f"{_OTLP}LOGS_")
_AROUND: Final = frozenset(
    {
        # Those of requests (https://requests.readthedocs.io, "Advanced Usage", "Proxies" and "SSL
        # Cert Verification") and of gRPC ("GRPC environment variables"), whichever case they have.
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "grpc_proxy", "no_grpc_proxy"),
        *("requests_ca_bundle", "curl_ca_bundle", "ssl_cert_file", "ssl_cert_dir"),
        "grpc_default_ssl_roots_file_path",
    }
)


def digest(told: Iterable[str]) -> str:
    """Return what tells texts from others without showing them."""
    text = "\n".join(told).encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).hexdigest()[:_DIGITS]


def sender(settings: Settings, is_grpc: bool, address: str) -> list[str]:
    """Return what says, beside the headers, who sends by OTLP; nothing where nothing does."""
    found = []
    certificate = otlp_variables(settings).client_certificate.value
    if certificate and not address.startswith("http://"):  # there nobody is asked for one
        with suppress(OSError):  # the working folder is gone
            certificate = str(Path(certificate).absolute())
        found.append(f"client certificate {certificate}")
    providers = (own_environ().get(name, "").strip() for name in PROVIDERS[is_grpc])
    provider = next(filter(None, providers), "")
    return [*found, f"credential provider {provider}"] if provider else found


def way(settings: Settings) -> str:
    """Return the digest of what a process needs to get to its destinations; "" if it is nothing.

    A process that delivers for this one has the same.
    """
    environ: Mapping[str, str] = {}
    with suppress(OSError):
        environ = shipping_environment(settings)
    told = [
        f"{name}={value.strip()}"
        for name, value in sorted(environ.items())
        if value.strip() and _is_on_the_way(name)
    ]
    return digest(told) if told else ""


def _is_on_the_way(name: str) -> bool:
    if name.lower() in _AROUND:
        return True
    is_ours = name.startswith(_OTLP) and not name.startswith(_OTHER_SIGNALS)
    return is_ours and not name.endswith(_IN_THE_KEY)
