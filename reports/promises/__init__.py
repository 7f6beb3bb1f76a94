"""What was promised, and what came true: forecasts of transfers, and the broker's offers."""
