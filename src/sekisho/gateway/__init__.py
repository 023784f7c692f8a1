"""The way into rooms: the rooms' own host name, its pages and channels. Hostile bytes come from both sides; no database, no key of the log."""
