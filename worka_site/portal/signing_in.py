"""The form that people sign in with."""

from datetime import timedelta
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from gateway.signing_in import wait_before
from governance.core.wording import duration


class SignInForm(AdminAuthenticationForm):
    """The stock form; an address with ten failures in five minutes, or a name with a hundred, is not even looked at."""

    def clean(self) -> dict[str, Any]:
        """Refuse before the password is checked, so that guessing learns nothing."""
        seconds = wait_before(str(self.cleaned_data.get("username") or ""), self.request)
        if seconds:
            raise ValidationError(
                f"Too many failed sign-ins. Try again in {duration(timedelta(seconds=seconds))}.", code="throttled"
            )
        cleaned: dict[str, Any] = super().clean()
        return cleaned
