"""People in the console: who may sign in. What they may do is said by their memberships."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from audit.ledger import record
from audit.principals import person
from worka_site.portal.accounts import BECAUSE, members_of, password_written_down, standing_of

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin  # generic for the type checker only

admin.site.unregister([User, Group])


class SuperusersAdmin(_ModelAdmin):
    """Rows for superusers alone: whoever may change accounts or groups can give themselves anything.

    Django's own permissions would let others in, and grant what nobody in Worka asks for.
    """

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser


@admin.register(User)
class PersonAdmin(SuperusersAdmin, UserAdmin):
    """A person's account, for superusers; each change is an entry of the ledger. Accounts are deactivated, not deleted."""

    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("May", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    list_display = ("username", "email", "first_name", "last_name", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    filter_horizontal = ()
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: "ModelForm[User]", change: bool) -> None:
        """Save nothing yet: the account and its groups are saved, and written down, in one go."""

    def save_related(self, request: HttpRequest, form: "ModelForm[User]", formsets: Any, change: bool) -> None:
        """Write down who changed which fields and what the person may now; never the other fields' values."""
        user = form.instance
        was = standing_of(User.objects.select_for_update().get(pk=user.pk)) if change else {}
        super().save_model(request, user, form, change)
        super().save_related(request, form, formsets, change)
        becomes = standing_of(user)
        record(
            "user.change" if change else "user.create",
            user,
            by=person(request.user),
            because=BECAUSE,
            label=was.get("username", user.username),
            fields=sorted(form.changed_data),
            was={field: value for field, value in was.items() if becomes[field] != value},
            becomes={field: value for field, value in becomes.items() if field not in was or was[field] != value},
        )

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 - Django's name
        """Set another person's password, and write down who did: with it one signs in as them."""
        user = self.get_object(request, unquote(id))
        if user is None or not self.has_change_permission(request, user):
            return super().user_change_password(request, id, form_url)
        with password_written_down("user.password_reset", request, user):
            return super().user_change_password(request, id, form_url)


@admin.register(Group)
class PersonGroupAdmin(SuperusersAdmin, GroupAdmin):
    """Groups that say what people are everywhere (`auditors`), for superusers; each change is an entry of the ledger."""

    fields = ("name",)
    filter_horizontal = ()
    actions = None

    def save_model(self, request: HttpRequest, obj: Group, form: "ModelForm[Group]", change: bool) -> None:
        """Write down the name, the one before, and who is in the group: a name alone makes auditors."""
        was = {"was": Group.objects.select_for_update().get(pk=obj.pk).name} if change else {}
        super().save_model(request, obj, form, change)
        self._record("group.change" if change else "group.create", request, obj, **was)

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        """Write down who was in the group."""
        self._record("group.delete", request, obj)
        super().delete_model(request, obj)

    def _record(self, deed: str, request: HttpRequest, group: Group, **facts: Any) -> None:
        record(
            deed,
            group,
            by=person(request.user),
            because=BECAUSE,
            label=group.name,
            members=members_of(group),
            **facts,
        )
