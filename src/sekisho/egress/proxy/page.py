"""What the proxy says when it refuses: a small page in English and Japanese that names the name and the reason, and the reason as a header for programs."""

from collections.abc import Mapping
from html import escape

from sekisho.model.reasons import Reason, sentence
from sekisho.policy.verdict import Deny

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

_STATUS = {400: "Bad Request", 403: "Forbidden", 502: "Bad Gateway", 504: "Gateway Timeout"}
_FAILURES = frozenset((Reason.NAME_UNRESOLVED, Reason.UPSTREAM_UNREACHABLE))

JAPANESE: Mapping[Reason, str] = {
    Reason.NAME_NOT_LISTED: "{name} は、この部屋から接続できる名前の一覧にありません。",
    Reason.NAME_NOT_CANONICAL: "一覧に載せられる形のホスト名ではありません。",
    Reason.PORT_NOT_LISTED: "{name} は一覧にありますが、ポート {port} は許可されていません。",
    Reason.ADDRESS_LITERAL: "アドレスではなく名前で接続してください。一覧にあるのは名前だけです。",
    Reason.ADDRESS_REFUSED: "{name} の行き先 {address} は {range} のアドレスです。部屋からは接続できません。",
    Reason.NAME_UNRESOLVED: "{name} は一覧にありますが、いまアドレスが見つかりません。",
    Reason.UPSTREAM_UNREACHABLE: "{name} は一覧にありますが、ポート {port} で応答がありません。",
    Reason.NOT_TLS: "{name}:{port} は TLS だけが許可されています。",
    Reason.SNI_MISMATCH: "TLS のサーバー名が {found} で、{name} ではありません。",
    Reason.TOO_MANY_NAMES: "この部屋で使える名前の数 ({most}) を超えました。",
    Reason.TOO_MANY_OPENS: "接続の間隔が短すぎます。少し待ってからもう一度お試しください。",
    Reason.HEAD_MALFORMED: "プロキシへの要求の形式が正しくありません ({found})。",
    Reason.DECISION_FAILED: "許可するかどうかを判断できないため、拒否しました。管理者に知らせてください。",
    Reason.LOG_UNAVAILABLE: "監査ログに書き込めないため、新しい接続は開けません。管理者に知らせてください。",
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Refused: {reason}</title></head>
<body style="font-family:sans-serif;max-width:40em;margin:3em auto;line-height:1.6">
<h1>Sekisho 関所</h1>
<p>{name}</p>
<p>{english}</p>
<p lang="ja">{japanese}</p>
<p><code>{reason}</code></p>
</body></html>
"""


def render_refusal(deny: Deny, *, shown_name: str, was_too_slow: bool = False) -> bytes:
    """A whole response: 400 for a malformed head, 502 or 504 when the other side failed, else 403."""
    status = _status(deny.reason, was_too_slow=was_too_slow)
    page = _PAGE.format(
        reason=escape(deny.reason), name=escape(shown_name), english=escape(sentence(deny.reason, deny.facts)), japanese=escape(_japanese(deny))
    ).encode()
    lines = (
        f"HTTP/1.1 {status} {_STATUS[status]}",
        f"Sekisho-Reason: {deny.reason}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(page)}",
        "Cache-Control: no-store",
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(lines).encode("ascii") + page


def _status(reason: Reason, *, was_too_slow: bool) -> int:
    if reason is Reason.HEAD_MALFORMED:
        return 400
    if reason in _FAILURES:
        return 504 if was_too_slow else 502
    return 403


def _japanese(deny: Deny) -> str:
    return JAPANESE[deny.reason].format_map({"name": "?", "port": "?", "address": "?", "range": "?", "found": "?", "most": "?", **deny.facts})
