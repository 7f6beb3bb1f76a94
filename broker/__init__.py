"""The ExecutionBroker: contract, offers, sessions, platforms, catalogues, http."""
