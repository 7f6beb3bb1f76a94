"""What becomes of offers: phases, the ledger, the store, and the supervisor that drives sessions."""
