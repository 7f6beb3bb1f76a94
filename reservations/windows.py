"""The algorithm of space: when it fits, what would fit sooner, why it never does, and what is free."""

from reservations.alternatives import Alternative, Compromise, alternatives
from reservations.free import FreeStep, free_steps, full_until, total_free_steps
from reservations.obstacles import Limit, Obstacle, largest_ever, most_units, obstacles
from reservations.openings import Opening, Question, openings

__all__ = [
    "Alternative",
    "Compromise",
    "FreeStep",
    "Limit",
    "Obstacle",
    "Opening",
    "Question",
    "alternatives",
    "free_steps",
    "full_until",
    "largest_ever",
    "most_units",
    "obstacles",
    "openings",
    "total_free_steps",
]
