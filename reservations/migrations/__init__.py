"""Alembic versions of the credit ledger's tables."""
