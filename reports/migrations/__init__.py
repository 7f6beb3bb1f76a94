"""Alembic versions of the pages' tables."""
