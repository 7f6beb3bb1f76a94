"""From a checked request to ranked offers: checks, candidates, price, rank. Functions over plain data."""
