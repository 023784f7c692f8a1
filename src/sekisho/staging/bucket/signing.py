"""Signed requests to one bucket: AWS Signature Version 4, by AWS's own library."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]  # it has no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

from sekisho.staging.bucket.credentials import Credentials
from sekisho.staging.bucket.wire import request_bytes

_UNRESERVED = "-_.~"  # RFC 3986 §2.3; all else of a key is escaped, but for the slash


class Signer:
    def __init__(self, url: str, region: str, credentials: Credentials) -> None:
        """`url` is the bucket's, without a slash at its end."""
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.netloc
        self._base = parts.path
        self._auth = S3SigV4Auth(credentials, "s3", region)

    def list_request(self, prefix: str, token: str) -> bytes:
        """ListObjectsV2: at most 1,000 keys, URL-encoded since XML can't hold every character."""
        asked = {"encoding-type": "url", "list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
        query = "&".join(f"{name}={quote(value, safe=_UNRESERVED)}" for name, value in sorted(asked.items()))
        return self._signed(f"{self._base}/?{query}", {})

    def get_request(self, key: str, headers: Mapping[str, str]) -> bytes:
        """GetObject."""
        return self._signed(f"{self._base}/{quote(key, safe='/' + _UNRESERVED)}", headers)

    def _signed(self, target: str, headers: Mapping[str, str]) -> bytes:
        request = AWSRequest("GET", self._origin + target, headers={"Host": self._host, **headers})
        self._auth.add_auth(request)
        return request_bytes(target, dict(request.headers.items()))
