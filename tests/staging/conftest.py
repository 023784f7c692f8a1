"""A real S3 server for the staging of buckets."""

from tests.seaweed_server import seaweed, seaweed_tls

__all__ = ["seaweed", "seaweed_tls"]
