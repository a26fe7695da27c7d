"""What every resource does alike: know who asks, demand the scope, limit, page, answer."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Q, QuerySet
from rest_framework import exceptions, serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.core.codes import Code
from audit.core.refusals import Refused
from gateway.api.credentials import (
    KeyAuthentication,
    PersonAuthentication,
    asker_of_request,
    count_call,
    demand_https,
    demand_scope,
)
from gateway.api.parsing import StrictJsonParser
from gateway.keys import Scope
from gateway.limiting import RateLimited, Window
from governance.people import Asker

DEFAULT_PAGE, LARGEST_PAGE = 50, 200


class Resource(APIView):
    """A view with a declared scope per method; a method without one is not there."""

    scopes: ClassVar[dict[str, Scope]] = {}
    authentication_classes = (KeyAuthentication, PersonAuthentication)
    permission_classes = ()
    parser_classes = (StrictJsonParser,)
    renderer_classes = (JSONRenderer,)
    # No OPTIONS: nothing here is for pages of other sites.
    http_method_names = ["get", "head", "post"]

    asker: Asker
    window: Window | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        demand_https(request)
        self.asker = asker_of_request(request)
        try:
            self.window = count_call(request, self.asker)
        except RateLimited as refusal:
            self.window = refusal.window
            raise
        scope = self.scopes.get("GET" if request.method == "HEAD" else str(request.method))
        if scope is None:
            raise exceptions.MethodNotAllowed(str(request.method))
        demand_scope(request, scope)
        if any("\x00" in value for values in request.query_params.lists() for value in values[1]):
            raise Refused("a parameter contains NUL", code=Code.BAD_REQUEST)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in (self.window.headers() if self.window else {}).items():
            response[name] = value
        response["Cache-Control"] = "no-store"
        return response


def read(serializer: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """Validate an input: unknown fields are errors, all errors come at once, refused with invalid."""
    if not isinstance(data, dict):
        raise Refused("the body is not a JSON object", code=Code.INVALID)
    made = serializer(data=data)
    made.is_valid(raise_exception=False)
    errors = dict(made.errors)
    for name in sorted(set(data) - set(made.fields)):
        errors[name] = [serializers.ErrorDetail("this field is not known here", code="unknown_field")]
    if errors:
        raise serializers.ValidationError(errors)
    return dict(made.validated_data)


def paged(
    request: Request, rows: QuerySet[Any], render: Callable[[Sequence[Any]], Any], *, order: str = "created_at"
) -> Response:
    """Answer a page, newest first, as `{items, next_cursor}`: a seek by time and id, as fast on the last page as on the first."""
    limit = page_limit(request)
    if cursor := request.query_params.get("cursor"):
        moment, pk = _read_cursor(cursor)
        rows = rows.filter(Q(**{f"{order}__lt": moment}) | Q(**{order: moment, "pk__lt": pk}))
    found = list(rows.order_by(f"-{order}", "-pk")[: limit + 1])
    items = found[:limit]
    last = _cursor_after(getattr(items[-1], order), items[-1].pk) if len(found) > limit else None
    return Response({"items": render(items), "next_cursor": last})


def _cursor_after(moment: datetime, pk: UUID) -> str:
    # All that is needed to go on is in it: the row itself may be out of the list by then, or out of sight.
    return urlsafe_b64encode(f"{moment.isoformat()} {pk}".encode()).decode().rstrip("=")


def _read_cursor(text: str) -> tuple[datetime, UUID]:
    try:
        moment, _, pk = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
        found = datetime.fromisoformat(moment), UUID(pk)
    except ValueError:
        found = None
    if found is None or found[0].tzinfo is None:
        raise Refused("the cursor is not one that was given out", code=Code.BAD_REQUEST)
    return found


def page_limit(request: Request) -> int:
    """Return the page size asked for, between 1 and 200; refuses with bad_request what is no number."""
    text = request.query_params.get("limit", str(DEFAULT_PAGE))
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise Refused("`limit` is a number", code=Code.BAD_REQUEST)
    return max(1, min(int(text), LARGEST_PAGE))
