"""How refusals are described in OpenAPI: the same on every route."""

from typing import Any

from sekisho.portal.api.bodies import Malformed, Refusal

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "Not signed in."},
    403: {"model": Refusal, "description": "Refused; the reason says why."},
    422: {"model": Malformed, "description": "Not of the shape that is described here."},
}
