"""The files that TLS is spoken with: whom to trust, and who one is (mutual TLS).

They are looked at with the standard library before gRPC gets them: that ends the whole process
where there is a certificate and no key, and says nothing of a file that it cannot read.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import NamedTuple

from phasetrace.otlp_variables import Named, OtlpVariables


class Pems(NamedTuple):
    """What is in the files, those that can be used; None is what the client does by itself."""

    roots: bytes | None
    key: bytes | None
    chain: bytes | None


def usable_pems(variables: OtlpVariables) -> Pems:
    """Return what is in the files that can be used. Never raises."""
    roots = None
    if variables.certificate.value and not _about_roots(variables.certificate, True):
        roots = _content(variables.certificate)
    if variables.client_certificate.value and not _about_client(variables):
        return Pems(roots, _content(variables.client_key), _content(variables.client_certificate))
    return Pems(roots, None, None)


def about_files(variables: OtlpVariables, is_grpc: bool) -> str:
    """Return what is wrong with the files, and the variable that names them; empty if nothing is.

    Over HTTP the key may be in the certificate's file.
    """
    certificate, key = variables.client_certificate, variables.client_key
    if variables.certificate.value:
        wrong = _about_roots(variables.certificate, is_grpc)
        if wrong:
            return wrong
    if certificate.value and (key.value or is_grpc):
        return _about_client(variables)
    if certificate.value:
        return _about(certificate) or _about_pair(certificate, certificate)
    if key.value:
        return f"{key.name} is set, and {certificate.name} is not: they belong together"
    return ""


def _about_roots(file: Named, is_grpc: bool) -> str:
    wrong = _about(file)
    if wrong:  # but requests can look certificates up in a folder
        is_folder = os.path.isdir(file.value)  # noqa: PTH112 - it raises nothing
        return "" if is_folder and not is_grpc else wrong
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file.value)
    except (OSError, ValueError):
        return f"{file.name}={file.value}: there is no certificate in it"
    return ""


def _about_client(variables: OtlpVariables) -> str:
    certificate, key = variables.client_certificate, variables.client_key
    if not key.value:
        return f"{certificate.name} is set, and {key.name} is not: they belong together"
    return _about(certificate) or _about(key) or _about_pair(certificate, key)


def _about_pair(certificate: Named, key: Named) -> str:
    try:
        # An encrypted key would otherwise be asked about on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            certificate.value, key.value, password=lambda: b""
        )
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{key.name}={key.value}: this is not the key to {certificate.name}"
        names = " and ".join(dict.fromkeys((certificate.name, key.name)))
        return f"{names}: expected a certificate in PEM, and its key without a passphrase"
    except (OSError, ValueError):
        return f"{certificate.name} and {key.name} cannot be used"
    return ""


def _about(file: Named) -> str:
    if "-----BEGIN" in file.value or "\n" in file.value:  # which may be a key
        return f"{file.name} is the content of a file; expected its path"
    try:
        with Path(file.value).open("rb") as opened:
            opened.read(1)
    except OSError as error:
        return f"{file.name}={file.value}: {error.strerror}"
    except ValueError:
        return f"{file.name}: expected the path of a file"
    return ""


def _content(file: Named) -> bytes | None:
    try:
        return Path(file.value).read_bytes()
    except (OSError, ValueError):
        return None
