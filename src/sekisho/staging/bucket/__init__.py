"""Files from a bucket: listed, then fetched over many connections, by a process that holds credentials and nothing else. Only the stager imports these modules,
and only when a room wants files of a bucket: the agent, whose memory every shim shares, never holds them."""
