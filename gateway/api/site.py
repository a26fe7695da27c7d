"""/v1/health, the OpenAPI document and its pages."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.core.codes import Code
from gateway.health import health


class Health(APIView):
    """GET /v1/health."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    is_public = True

    @extend_schema_serializer(component_name="Health")
    class Answer(serializers.Serializer[Any]):
        healthy = serializers.BooleanField()
        version = serializers.CharField()
        checks = serializers.DictField()

    @extend_schema(responses={200: Answer, 503: Answer})
    def get(self, request: Request) -> Response:
        """Say whether this installation and each part of it is healthy; 503 when something essential is not.

        What is wrong is told to people who have signed in, on the console's page, and by `make doctor`.
        """
        found = health()
        return Response(found, status=200 if found["healthy"] else Code.UNAVAILABLE.status)


class Document(SpectacularJSONAPIView):
    """GET /v1/openapi.json."""

    authentication_classes = ()
    permission_classes = ()
    http_method_names = ["get", "head"]
    is_public = True


class Docs(SpectacularSwaggerSplitView):
    """GET /v1/docs: the document to read and to try; everything on the page comes from this site, nothing is inline."""

    authentication_classes = ()
    permission_classes = ()
    http_method_names = ["get", "head"]
    is_public = True
    url_name = "openapi"
    template_name = "worka/api_docs.html"


class Nowhere(APIView):
    """Every other address below /v1."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    schema = None
    is_public = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise Http404
