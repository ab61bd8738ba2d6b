"""A real Jaeger whose OTLP receivers are set up as a test wants them: TLS, passwords, limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .certificates import Authority, Issued
from .jaeger import MAX_TRACES, Jaeger

USER, PASSWORD = "tracer", "a-password-nobody-sees"


def with_tls(server: Issued, clients: Authority | None = None) -> dict[str, Any]:
    """Return what a receiver needs for TLS; with an authority, whose clients alone it takes."""
    files = {"cert_file": f"{server.certificate}", "key_file": f"{server.key}"}
    return {"tls": files | ({"client_ca_file": f"{clients.certificate}"} if clients else {})}


WITH_PASSWORD: dict[str, Any] = {"auth": {"authenticator": "basicauth"}}


def jaeger_with(folder: Path, grpc: dict[str, Any], http: dict[str, Any]) -> Jaeger:
    """Return a Jaeger whose receivers over gRPC and HTTP have these settings."""
    has_password = WITH_PASSWORD.items() <= http.items()
    password = {"basicauth": {"htpasswd": {"inline": f"{USER}:{PASSWORD}"}}}
    extensions: dict[str, Any] = {
        "jaeger_storage": {"backends": {"here": {"memory": {"max_traces": MAX_TRACES}}}},
        "jaeger_query": {"storage": {"traces": "here"}, "enable_tracing": False},
        "healthcheckv2": {"use_v2": True},
        **(password if has_password else {}),
    }
    path = folder / "jaeger.json"
    path.write_text(
        json.dumps(
            {
                "service": {
                    "extensions": list(extensions),
                    "pipelines": {
                        "traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}
                    },
                },
                "receivers": {"otlp": {"protocols": {"grpc": grpc or None, "http": http or None}}},
                "exporters": {"jaeger_storage_exporter": {"trace_storage": "here"}},
                "extensions": extensions,
            }
        )
    )
    return Jaeger(path)
