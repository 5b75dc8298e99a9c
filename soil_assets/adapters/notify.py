"""apprise: one message to mail, Slack, a webhook or any of a hundred other receivers.

Belongs here: sending. Does not belong here: what is worth an alert, and how often (``reporting.alerts``).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from soil_assets.errors import BadInput


class NotDelivered(RuntimeError):
    """A receiver did not take the message; the address is not named, since it carries a secret."""


def send(addresses: Sequence[str], title: str, body: str, *, urgent: bool) -> None:
    """Send one message to every address.

    Parameters
    ----------
    addresses : sequence of str
        apprise addresses such as ``mailtos://user:password@host?to=lab@host`` or ``slack://token``.
    body : str
        Markdown; apprise turns it into what each receiver reads.
    urgent : bool
        Whether a gate or a run failed (shown in red), or there is only something to look at.

    Raises
    ------
    BadInput
        When an address is not one that apprise knows; its place in the list is told, never the address.
    NotDelivered
        When a receiver refused the message or could not be reached.
    """
    try:
        import apprise
    except ModuleNotFoundError:
        raise BadInput(
            "alerts need the package apprise", mend="install soil_assets with the extra 'alerts'"
        ) from None
    with warnings.catch_warnings():
        # Its services are imported when the first address is added; one still wants imghdr, gone in Python 3.13.
        warnings.filterwarnings("ignore", message=".*imghdr.*", category=DeprecationWarning)
        post = apprise.Apprise()
        for place, address in enumerate(addresses, start=1):
            if not post.add(address):
                raise BadInput(
                    "not an address that apprise knows",
                    column="SOIL_ALERT_URLS",
                    row=place,
                    expected="addresses such as mailtos://..., slack://..., jsons://..., separated by blanks",
                    mend="see apprise's list of services; an address is never printed, since it holds a secret",
                )
        kind = apprise.NotifyType.FAILURE if urgent else apprise.NotifyType.WARNING
        if not post.notify(
            title=title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.MARKDOWN
        ):
            raise NotDelivered("an alert was not taken by every receiver; it is sent again at the next tick")
