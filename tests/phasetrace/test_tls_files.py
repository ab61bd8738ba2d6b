"""Files for TLS: what is wrong with them is told by their variable, and gRPC gets none of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from phasetrace.otlp_variables import OtlpVariables, otlp_variables
from phasetrace.tls_files import Pems, about_files, usable_pems

PREFIX = "OTEL_EXPORTER_OTLP_"


class Files:
    """An authority, two clients of its, and files that are none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = trustme.CA()
        self.authority = self._write("ca.pem", authority.cert_pem.bytes())
        self.chain, self.key = [
            self._write(name, pem.bytes())
            for one in [authority.issue_cert("me@x.test")]
            for name, pem in (("c.pem", one.cert_chain_pems[0]), ("c.key", one.private_key_pem))
        ]
        another = authority.issue_cert("you@x.test").private_key_pem.bytes()
        self.other_key = self._write("other.key", another)
        locked = serialization.load_pem_private_key(another, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
        self.locked_key = self._write("locked.key", locked)
        both = Path(self.chain).read_bytes() + Path(self.key).read_bytes()
        self.both = self._write("both.pem", both)
        self.nonsense = self._write("nonsense", b"nonsense")

    def _write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return the files."""
    return Files(tmp_path_factory.mktemp("tls"))


def named(files: Files, **names: str) -> OtlpVariables:
    """Return variables that name files, each by what it is there."""
    environ = {
        f"{PREFIX}{variable}": getattr(files, name, name) for variable, name in names.items()
    }
    return otlp_variables(environ)


GOOD = {"CERTIFICATE": "authority", "CLIENT_CERTIFICATE": "chain", "CLIENT_KEY": "key"}


@pytest.mark.parametrize(
    "names", [{}, GOOD, {"CERTIFICATE": "authority"}, {**GOOD, "CERTIFICATE": ""}]
)
@pytest.mark.parametrize("is_grpc", [True, False])
def test_nothing_is_wrong(files: Files, names: dict[str, str], is_grpc: bool) -> None:
    """With files that can be used, nor where there are none; and gRPC gets what is in them."""
    variables = named(files, **names)
    assert about_files(variables, is_grpc) == ""
    contents = [
        Path(one.value).read_bytes() if one.value else None
        for one in (variables.certificate, variables.client_key, variables.client_certificate)
    ]
    assert usable_pems(variables) == tuple(contents)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"CERTIFICATE": "/no/such"}, f"{PREFIX}CERTIFICATE=/no/such: No such file or directory"),
        ({"CERTIFICATE": "nonsense"}, "there is no certificate in it"),
        ({"CERTIFICATE": "-----BEGIN X-----\nhunter2"}, f"{PREFIX}CERTIFICATE is the content of"),
        ({"CERTIFICATE": "nul\0"}, f"{PREFIX}CERTIFICATE: expected the path of a file"),
        ({"CLIENT_KEY": "key"}, f"{PREFIX}CLIENT_KEY is set, and {PREFIX}CLIENT_CERTIFICATE is no"),
        ({**GOOD, "CLIENT_KEY": "/no/such"}, f"{PREFIX}CLIENT_KEY=/no/such: No such file"),
        ({**GOOD, "CLIENT_CERTIFICATE": "/no"}, f"{PREFIX}CLIENT_CERTIFICATE=/no: No such file"),
        ({**GOOD, "CLIENT_KEY": "other_key"}, f"this is not the key to {PREFIX}CLIENT_CERTIFICATE"),
        ({**GOOD, "CLIENT_KEY": "locked_key"}, "its key without a passphrase"),
        ({**GOOD, "CLIENT_KEY": "nonsense"}, "expected a certificate in PEM, and its key"),
        ({**GOOD, "CLIENT_CERTIFICATE": "nonsense"}, "expected a certificate in PEM"),
        ({**GOOD, "CLIENT_KEY": "-----BEGIN PRIVATE KEY-----\nhunter2"}, "expected its path"),
    ],
)
def test_what_is_wrong_is_told(files: Files, names: dict[str, str], told: str) -> None:
    """The variable and the reason; nothing of a file that stands where its path should."""
    variables = named(files, **names)
    wrong = about_files(variables, is_grpc=True)
    assert told in wrong
    assert about_files(variables, is_grpc=False) == wrong
    assert "hunter2" not in wrong
    if "CLIENT_CERTIFICATE" in names:  # a certificate without a key would end the process
        assert usable_pems(variables) == Pems(Path(files.authority).read_bytes(), None, None)
    else:
        assert usable_pems(variables) == Pems(None, None, None)


def test_the_key_may_be_in_the_certificates_file(files: Files) -> None:
    """Over HTTP; gRPC wants two."""
    variables = named(files, CLIENT_CERTIFICATE="both")
    assert about_files(variables, is_grpc=False) == ""
    assert f"{PREFIX}CLIENT_KEY is not" in about_files(variables, is_grpc=True)
    without = named(files, CLIENT_CERTIFICATE="chain")
    assert "its key" in about_files(without, is_grpc=False)


def test_a_folder_of_certificates(files: Files) -> None:
    """Requests can look certificates up in one; gRPC gets nothing."""
    variables = otlp_variables({f"{PREFIX}CERTIFICATE": str(files.folder)})
    assert about_files(variables, is_grpc=False) == ""
    assert about_files(variables, is_grpc=True).endswith("Is a directory")
    assert usable_pems(variables).roots is None


def test_the_variable_for_traces_wins(files: Files) -> None:
    """It is the one that is told of."""
    environ = {f"{PREFIX}TRACES_CERTIFICATE": "/no", f"{PREFIX}CERTIFICATE": files.authority}
    told = about_files(otlp_variables(environ), is_grpc=True)
    assert told.startswith(f"{PREFIX}TRACES_CERTIFICATE=/no: ")
