"""Request, grant, session: the room file, the acts, the state table, the plan, the controller."""
