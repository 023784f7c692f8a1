"""The database: tables, transactions on SQLite or PostgreSQL, migrations, people as rows, and the outbox of events."""
