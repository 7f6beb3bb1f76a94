"""Alembic's environment, shared by the migrations of all wings. The migrations themselves are in the wings."""
