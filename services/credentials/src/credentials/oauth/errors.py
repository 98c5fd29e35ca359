"""Facts that OAuth clients are told, as RFC 6749 §5.2, RFC 7009 §2.2.1 and RFC 6750 §3.1 name them.

Tree::

    BadRequest 400 ── InvalidRequest ── BodyTooLarge 413
                   ├─ UnsupportedGrantType
                   ├─ InvalidScope
                   ├─ InvalidGrant
                   ├─ UnauthorizedClient
                   └─ UnsupportedTokenType
    Problem 401 ───── InvalidClient, InvalidToken

Their answers have the RFC's form, see ``error_form``.
"""

from shared.problems import BadRequest, Problem


class InvalidRequest(BadRequest):
    """A parameter is missing, malformed, or sent twice or in two ways."""

    code, title = "invalid_request", "Invalid request"


class BodyTooLarge(InvalidRequest):
    """The form is over the limit; reading stopped there."""

    status = 413
    default_detail = "The form is too long."


class UnsupportedGrantType(BadRequest):
    """Another grant than client_credentials was asked for."""

    code, title = "unsupported_grant_type", "Unsupported grant type"
    default_detail = "The one grant type here is client_credentials."


class InvalidScope(BadRequest):
    """A scope was asked for that the client does not have."""

    code, title = "invalid_scope", "Invalid scope"
    default_detail = "The client has not all of these scopes."


class InvalidGrant(BadRequest):
    """The client's key ends so soon that no token would fit into the rest of its life."""

    code, title = "invalid_grant", "Invalid grant"
    default_detail = "The client's key is about to end: there is no time left for a token."


class UnauthorizedClient(BadRequest):
    """The token was given to another client, which alone may revoke it."""

    code, title = "unauthorized_client", "Unauthorized client"
    default_detail = "The token was not issued to this client."


class UnsupportedTokenType(BadRequest):
    """An API key is not revoked here."""

    code, title = "unsupported_token_type", "Unsupported token type"
    default_detail = (
        "This revokes access tokens. An API key is revoked with POST /v1/api-keys/{id}/revoke or POST /v1/leaked-keys."
    )


class InvalidClient(Problem):
    """The client did not prove who it is. One uniform answer, so that it says nothing about why."""

    status, code, title = 401, "invalid_client", "Invalid client"
    default_detail = "Client authentication failed."

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": 'Basic realm="causeway", charset="UTF-8"'})


class InvalidToken(Problem):
    """The bearer credential of the caller is not valid."""

    status, code, title = 401, "invalid_token", "Invalid token"
    default_detail = "The bearer credential is not valid."

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": 'Bearer realm="causeway", error="invalid_token"'})
