"""OpenStack: Blazar's reservations, and what Nova and Placement say of the rest."""
