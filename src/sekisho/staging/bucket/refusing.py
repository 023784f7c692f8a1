"""What S3 refuses, in words that say whose turn it is. Never the service's own text: it may quote a key id. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from sekisho.staging.bucket.answers import Refusal
from sekisho.staging.placing import StagingFailed


@dataclass(frozen=True, slots=True)
class Asker:
    """`name` is the bucket's in the settings, `bucket` the service's."""

    name: str
    bucket: str
    endpoint: str
    region: str

    def url_of(self, key: str) -> str:
        return f"s3://{self.name}/{key}"[:300]


_BY_CODE: Mapping[str, str] = {
    "NoSuchBucket": "{endpoint} has no bucket {bucket!r}",
    "NoSuchKey": "{what!r} vanished from the bucket while it was fetched",
    "AccessDenied": "{endpoint} denies access to {what!r}: the credentials of bucket {name!r} must be allowed to {act} it",
    "InvalidAccessKeyId": "{endpoint} does not know the key id in the credentials of bucket {name!r}",
    "SignatureDoesNotMatch": "the secret in the credentials of bucket {name!r} is not the one that {endpoint} knows",
    "ExpiredToken": "the credentials of bucket {name!r} have expired",
    "InvalidToken": "the session token in the credentials of bucket {name!r} is not valid",
    "RequestTimeTooSkewed": "the clocks of this machine and of {endpoint} differ too much: mend this machine's time",
    "InvalidObjectState": "{what!r} is archived: restore it first, or leave it out of the prefix",
}  # fmt: skip
_ELSEWHERE = "the bucket {bucket!r} is not in region {region!r}{really}: mend [buckets] in the settings"
_BY_STATUS: Mapping[int, str] = {
    403: _BY_CODE["AccessDenied"],
    404: _BY_CODE["NoSuchKey"],
}


def worded(asker: Asker, refusal: Refusal, *, key: str | None) -> StagingFailed:
    """`key` None: the listing was refused."""
    code = {"TokenRefreshRequired": "ExpiredToken", "RequestExpired": "RequestTimeTooSkewed"}.get(refusal.code, refusal.code)
    is_elsewhere = refusal.status in {301, 307} or code in {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"}
    text = _ELSEWHERE if is_elsewhere else _BY_CODE.get(code) or _by_status(refusal, key)
    really = f" but in {refusal.region!r}" if refusal.region and refusal.region != asker.region else ""
    return StagingFailed(
        text.format(
            endpoint=asker.endpoint, bucket=asker.bucket, name=asker.name, region=asker.region, really=really,
            what=asker.url_of(key or ""), act="list" if key is None else "read", status=refusal.status, code=f" {refusal.code}" if refusal.code else "",
        )
    )  # fmt: skip


def _by_status(refusal: Refusal, key: str | None) -> str:
    if refusal.status == 404 and key is None:
        return _BY_CODE["NoSuchBucket"]
    return _BY_STATUS.get(refusal.status, "{endpoint} refused {what!r} with {status}{code}")
