"""The portal's API from here: one call, one answer, and every way in which it can fail as one of two errors: it was refused, or there is trouble."""

import os
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from sekisho.cli import signed_in
from sekisho.cli.loopback import LoopbackTransport
from sekisho.cli.signed_in import SignedIn
from sekisho.cli.trust import context
from sekisho.model.errors import Trouble
from sekisho.model.reasons import Reason

_SECONDS = 30.0


class Refused(Exception):
    """What was decided against, as the portal said it."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


class Portal:
    """A context manager. `token` is sent to `url` and nowhere else: redirects are not followed."""

    def __init__(self, url: str, *, authority_pem: str, token: str = "") -> None:
        self.url = url
        headers = {"Accept-Language": _language(), **({"Authorization": f"Bearer {token}"} if token else {})}
        self._client = httpx.Client(
            base_url=url, headers=headers, timeout=_SECONDS, transport=LoopbackTransport(verify=context(authority_pem)), trust_env=False
        )

    @classmethod
    def signed_in(cls) -> Self:
        return cls.of(signed_in.read())

    @classmethod
    def of(cls, sign_in: SignedIn) -> Self:
        return cls(sign_in.url, authority_pem=sign_in.authority_pem, token=sign_in.token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def get(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """Absent query values are left out."""
        return _object(self._send("GET", path, params={name: value for name, value in query.items() if value not in (None, "")}))

    def post(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        return _object(self._send("POST", path, json=dict(body or {})))

    def fetch(self, path: str) -> bytes | None:
        """The bytes of a file, or None if there is none."""
        answer = self._sent("GET", path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else _accepted(answer).content

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        return _accepted(self._sent(method, path, **more))

    def _sent(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **more)
        except httpx.ConnectError as error:
            raise _unreachable(self.url, error) from error
        except httpx.TransportError as error:
            raise Trouble("portal-silent", f"{self.url} did not answer: {str(error) or type(error).__name__}", hint="the same again in a moment") from error


def _unreachable(url: str, error: httpx.ConnectError) -> Trouble:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Trouble(
                "certificate-unknown",
                f"{url} is not believed: {cause.verify_message}",
                hint="sekisho login with --state DIR, --ca FILE or --fingerprint SHA256",
            )
        cause = cause.__cause__ or cause.__context__
    return Trouble("portal-away", f"{url} does not answer: {error}", hint="is the address right, and `sekisho up` running?")


def _accepted(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    body = _body(answer) or {}
    if isinstance(body.get("reason"), str):
        hint = " `sekisho login` signs in." if body["reason"] == Reason.NOT_SIGNED_IN else ""
        raise Refused(body["reason"], f"{body.get('sentence') or 'It was refused.'}{hint}")
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        raise Trouble("request-malformed", "the portal did not understand that", found=_malformed(body), hint="look at what was given")
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise Trouble("no-such-thing", "there is no such thing, or not for you", hint="`sekisho requests` and `sekisho sessions` list what there is")
    raise Trouble("portal-failed", f"the portal answered {answer.status_code}", hint="the same again in a moment; else tell an administrator")


def _malformed(body: Mapping[str, Any]) -> str:
    found = body.get("malformed")
    items = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    return "; ".join(f"{'.'.join(map(str, item.get('at', ())))}: {item.get('what', '')}" for item in items)


def _object(answer: httpx.Response) -> dict[str, Any]:
    body = _body(answer)
    if body is None:
        raise Trouble("portal-odd", "the portal's answer was not what its API says", hint="is this a Sekisho portal, of this version?")
    return body


def _body(answer: httpx.Response) -> dict[str, Any] | None:
    """The JSON object; {} if there is no content at all, None for anything else."""
    if not answer.content:
        return {}
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _language() -> str:
    spoken = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "ja" if spoken.startswith("ja") else "en"
