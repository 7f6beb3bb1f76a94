"""The ground floor: sites and their names, settings, database, units, time."""
