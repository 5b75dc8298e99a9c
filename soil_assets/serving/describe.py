"""The service's OpenAPI: what FastAPI knows of the routes, and what it cannot see of bodies read by hand.

Belongs here: the description and its examples. Does not belong here: the routes.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from soil_assets.serving.incoming import PredictRequest
from soil_assets.serving.reading import FileQuery

_SCHEMAS = "#/components/schemas/{model}"
_QUERY = ("filename", "quantity", "scale", "axis_unit", "properties", "levels", "preview")
#: Statuses of a request that is not answered, in words.
REFUSALS = {
    400: "The body is not what its headers say: no JSON, damaged gzip.",
    401: "No API key, or one that is unknown or expired.",
    408: "The request took too long to arrive.",
    409: "Another version answers than the one that was asked for.",
    413: "The body, what it unpacks to, the number of spectra or intensities, or the answer is over the limit.",
    415: "Content type or encoding is not understood.",
    422: "Understood, but it cannot be used; the error says what, where, and how to mend it.",
    503: "Too many requests are being answered, of all or of this client, or keys cannot be checked; come back after "
    "Retry-After seconds.",
    504: "The answer took too long.",
}
#: Nine bands stand for the hundreds of a real spectrum.
EXAMPLE: dict[str, Any] = {
    "spectra": [
        {"id": "field-7", "intensities": [0.32, 0.41, 0.55, 0.49, 0.46, 0.62, 0.97, 1.31, 1.12]},
        {"id": "field-8", "intensities": [0.29, 0.38, 0.52, 0.45, 0.44, 0.58, 0.91, 1.24, 1.03]},
    ],
    "axis": {"unit": "cm-1", "first": 4000, "last": 400},
    "quantity": "absorbance",
}


def openapi(app: FastAPI) -> dict[str, Any]:
    """Return the description, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = made["components"]["schemas"]
    request = PredictRequest.model_json_schema(ref_template=_SCHEMAS)
    schemas |= request.pop("$defs")
    schemas["PredictRequest"] = request
    made["components"]["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "Where the service was started with API keys.",
        }
    }
    made["paths"]["/v1/predict"]["post"] |= {
        "parameters": _parameters(),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": _SCHEMAS.format(model="PredictRequest")},
                    "examples": {"two spectra": {"value": EXAMPLE}},
                },
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
            },
        },
    }
    for path, operations in made["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None) if path != "/v1/predict" else None
            if path.startswith("/v1/"):
                operation["security"] = [{"key": []}, {}]
    app.openapi_schema = made
    return made


def _parameters() -> list[dict[str, Any]]:
    """Return the query of an uploaded file; a JSON request has none."""
    schema = FileQuery.model_json_schema(ref_template=_SCHEMAS)
    found = []
    for name in _QUERY:
        of = dict(schema["properties"][name])
        choices = [c for c in of.pop("anyOf", ()) if c.get("type") != "null"]
        said = f"{of.pop('description', '')} Of an uploaded file only.".strip()
        of.pop("default", None)
        found.append(
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": said,
                "schema": {**of, **(choices or [{}])[0]},
            }
        )
    return found
