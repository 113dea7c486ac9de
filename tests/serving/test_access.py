from __future__ import annotations

import pytest
from fastapi import HTTPException
from fastapi.security import HTTPAuthorizationCredentials

from components.serving.access import caller_of, new_token
from components.serving.settings import Token


def shown(token: str) -> HTTPAuthorizationCredentials:
    return HTTPAuthorizationCredentials(scheme="Bearer", credentials=token)


def test_a_new_token_opens_for_its_name_and_stands_nowhere() -> None:
    ward, known_ward = new_token("ward")
    lab, known_lab = new_token("lab")
    caller = caller_of((known_ward, known_lab))
    assert (caller(shown(ward)), caller(shown(lab))) == ("ward", "lab")
    assert ward != lab and len(ward) >= 43 and ward not in str(known_ward)


@pytest.mark.parametrize("token", ["", "x", " "])
def test_nothing_else_opens(token: str) -> None:
    _, known = new_token("ward")
    for tokens in ((), (known,), (Token("odd", ""),)):
        with pytest.raises(HTTPException) as refused:
            caller_of(tokens)(shown(token))
        assert refused.value.status_code == 401
    with pytest.raises(HTTPException):
        caller_of((known,))(None)
    with pytest.raises(HTTPException):
        caller_of((known,))(shown(known.sha256))
