"""A small client of the REST API of pScheduler, which has none that is maintained."""
