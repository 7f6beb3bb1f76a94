"""Alembic's environment, shared by the migrations of all wings; the migrations are in the wings."""
