"""Alembic versions of the measuring wing's tables."""
