"""The state of a federation's network, as a report."""
