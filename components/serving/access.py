"""Who may use HTTP: whoever shows a token whose digest stands in the settings (RFC 6750)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from components.serving.settings import Token

Caller = Callable[..., str]
Admitted = Callable[..., AsyncIterator[str]]
COME_AGAIN_S = 5
SCHEME = HTTPBearer(auto_error=False, description="Made by `medsr token NAME`.")


def caller_of(tokens: tuple[Token, ...]) -> Caller:
    """A dependency that gives the name of the token shown. It raises `HTTPException` 401 without a known token."""

    def caller(shown: Annotated[HTTPAuthorizationCredentials | None, Depends(SCHEME)]) -> str:
        digest = hashlib.sha256((shown.credentials if shown else "").encode()).hexdigest()
        callers = [token.name for token in tokens if hmac.compare_digest(token.sha256, digest)]
        if not shown or not callers:
            raise HTTPException(
                401,
                "expected a token, `Authorization: Bearer …`; whoever runs this service makes one with `medsr token`",
                {"WWW-Authenticate": "Bearer"},
            )
        return callers[0]

    return caller


def at_most(most: int, caller: Caller) -> Admitted:
    """A dependency that gives what `caller` gives, for at most `most` requests at once.

    It raises `HTTPException` 503 for more. A request without a token does not count.
    """
    at_work = 0

    async def admitted(name: str = Depends(caller)) -> AsyncIterator[str]:
        nonlocal at_work
        if at_work >= most:
            raise HTTPException(503, f"{most} requests are at work; come again", {"Retry-After": str(COME_AGAIN_S)})
        at_work += 1
        try:
            yield name
        finally:
            at_work -= 1

    return admitted


def new_token(name: str) -> tuple[str, Token]:
    """A token nobody can guess, and what the settings hold of it."""
    token = secrets.token_urlsafe(32)
    return token, Token(name, hashlib.sha256(token.encode()).hexdigest())
