"""Measuring the network: tools, plans, archive, forecast, cost."""
