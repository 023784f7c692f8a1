"""The stager's process for buckets: what it reads as root, what before it gives up the file system, and what is left to it when it hears the first byte."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from sekisho.runtime.staging_child import BucketAccess, BucketJob, Errand
from sekisho.staging.bucket.credentials import read_credentials
from sekisho.staging.bucket.endpoint import resolve, trust_of
from sekisho.staging.bucket.fetching import Fetch, fetch_all
from sekisho.staging.bucket.refusing import Asker
from sekisho.staging.bucket.signing import Signer
from sekisho.staging.bucket.source import Source
from sekisho.staging.rights import become_nobody, shut_in
from sekisho.system import landlock


def stage_buckets(errand: Errand, *, record: Callable[[str], None], progress: Callable[[int, int, int], None]) -> None:
    """Credentials and authorities are read as root, from files of root's; names are resolved, and everything that comes from outside is read, with no right
    but to fill the room's folder. Raises StagingFailed."""
    jobs = [job for job in errand.jobs if isinstance(job, BucketJob)]
    opened = [(job, _source(job), trust_of(job.access.url, job.access.trust)) for job in jobs]
    become_nobody(errand)
    fetches = [Fetch(source, resolve(job.access.url, tls), job.target) for job, source, tls in opened]
    shut_in(errand, {job.target: landlock.WRITE for job in jobs}, connect_ports={fetch.endpoint.port for fetch in fetches})
    fetch_all(fetches, limit_bytes=errand.limit_bytes, record=record, progress=progress)


def _source(job: BucketJob) -> Source:
    access = job.access
    credentials = read_credentials(Path(access.credentials), access.profile)
    return Source(Signer(access.url, access.region, credentials), _asker(access), job.prefix)


def _asker(access: BucketAccess) -> Asker:
    parts = urlsplit(access.url)
    return Asker(access.name, access.bucket, f"{parts.scheme}://{parts.netloc}", access.region)
