"""What the schema says beyond what Litestar finds out by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import msgspec
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
    SecurityScheme,
)

from capacity_core.answer import ErrorEnvelope
from capacity_http.views import HealthData, Succeeded

BEARER = "bearer"
EVENT_STREAM = "text/event-stream"
SECURITY = Components(
    security_schemes={BEARER: SecurityScheme(type="http", scheme="bearer", description="A token.")}
)

# Whatever the route: a malformed request, no token, too little scope, a fault of ours.
EVERYWHERE = (400, 401, 403, 500)


def schema_config(version: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title="capacity-sync",
        version=version,
        use_handler_docstrings=True,
        render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
    )


def answers(data: Any, *failures: int, status: int = 200) -> dict[int, ResponseSpec]:
    """Declare every status of a route: its success, what it may refuse, and EVERYWHERE."""
    refused = sorted({*EVERYWHERE, *failures})
    return {
        status: _spec(Succeeded[data], status),
        **{code: _spec(ErrorEnvelope, code) for code in refused},
    }


def health_answers(*statuses: int) -> dict[int, ResponseSpec]:
    kinds = {200: Succeeded[HealthData]}
    return {status: _spec(kinds.get(status, ErrorEnvelope), status) for status in statuses}


def event_answers(event: type, *failures: int) -> dict[int, ResponseSpec]:
    """Declare the statuses of a route that answers with server-sent events of that shape."""
    description = "A stream of events"
    stream = ResponseSpec(
        event, generate_examples=False, description=description, media_type=EVENT_STREAM
    )
    return {**answers(event, *failures), 200: stream}


def _spec(container: Any, status: int) -> ResponseSpec:
    return ResponseSpec(container, generate_examples=False, description=HTTPStatus(status).phrase)


def operation_with(body: type[msgspec.Struct], *, required: bool = True) -> type[Operation]:
    """Describe a body that the route decodes by itself, after everything else was checked."""
    schema = cast("Schema", _inlined(body))
    return _with_body(
        RequestBody({"application/json": OpenAPIMediaType(schema)}, required=required)
    )


def operation_with_text(media_type: str, description: str) -> type[Operation]:
    """Describe a body that is text."""
    content = {media_type: OpenAPIMediaType(Schema(type=OpenAPIType.STRING))}
    return _with_body(RequestBody(content, description, required=True))


def _with_body(body: RequestBody) -> type[Operation]:
    @dataclass
    class OperationWithBody(Operation):
        def __post_init__(self) -> None:
            self.request_body = body

    return OperationWithBody


def _inlined(body: type[msgspec.Struct]) -> object:
    (reference,), components = msgspec.json.schema_components([body], ref_template="{name}")
    return _resolve(reference, components)


def _resolve(schema: object, components: Mapping[str, object]) -> object:
    if isinstance(schema, list):
        return [_resolve(item, components) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _resolve(components[schema["$ref"]], components)
    return {name: _resolve(item, components) for name, item in schema.items()}
