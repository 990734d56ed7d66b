"""An account is a project, and the key says which: whoever names another names an unknown one."""

from typing import Annotated

from fastapi import Header, Request

from tunery.core.errors import NotFound
from tunery.dialects.route import caller

_SHOWN = 80


async def check_selected(
    request: Request,
    account_id: str | None = None,
    x_selected_account_id: Annotated[str | None, Header()] = None,
) -> None:
    """Check the accounts that the query and the headers name."""
    check_account(request, account_id)
    # A client whose variable is set to nothing sends an empty header.
    check_account(request, x_selected_account_id or None)


def check_account(request: Request, account_id: str | None) -> None:
    """Refuse an account that is not the caller's; None is as good as its name.

    Raises:
        NotFound: it is another one, or there is none of that id.
    """
    own = caller(request).project_id
    if account_id is not None and account_id != own:
        message = f"There is no account {account_id[:_SHOWN]!r}; this key's account is {own!r}."
        raise NotFound("account", account_id, message=message)
