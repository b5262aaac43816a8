from __future__ import annotations

from uuid import uuid4

from django import forms

LONGEST_REASON = 500


class RefundForm(forms.Form):
    """Why a customer wants money back."""

    reason = forms.CharField(
        label="What is wrong with it?",
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "It came broken."}),
        error_messages={"required": "Tell us in a few words what is wrong."},
    )
    slowly = forms.BooleanField(
        label="The bank shall take its time (8 seconds)",
        required=False,
        help_text="Time enough for you to kill the worker in the middle of it.",
    )
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    """Names this sheet of the form: sent twice, it asks once."""
