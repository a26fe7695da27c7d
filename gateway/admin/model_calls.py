"""Calls of models in the console: what was asked of whom and what it cost. Nobody changes them."""

from django.contrib import admin

from audit.screens import ReadOnlyAdmin
from gateway.model_queries import model_calls_visible_to
from gateway.models import LlmCall
from governance.people import asker_in_session


@admin.register(LlmCall)
class LlmCallAdmin(ReadOnlyAdmin):
    """A call of a model, for whoever may see its run."""

    visible_to = staticmethod(lambda request: model_calls_visible_to(asker_in_session(request)))
    list_page = "worka/pages/models.html"
    row_page = "worka/pages/model_call.html"
