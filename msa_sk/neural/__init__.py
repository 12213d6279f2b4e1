"""The engine: how networks are trained and run. Only here is skorch known."""
