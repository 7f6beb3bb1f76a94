"""Credits that limit reservations, for a cloud that has none: what Blazar's ExternalServiceFilter asks.

`bodies` reads what Blazar sends, `ledger` decides in one transaction, `app` answers over HTTP, `reconcile`
compares with the cloud's own leases.
"""
