"""Alembic versions of the broker's tables."""
