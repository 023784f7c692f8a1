"""The store on both databases."""

from tests.postgres_server import migrated_postgres, migrated_sqlite, postgres_url, store

__all__ = ["migrated_postgres", "migrated_sqlite", "postgres_url", "store"]
