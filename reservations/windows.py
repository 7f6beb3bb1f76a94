"""The algorithm of space: when it fits, what would fit sooner, and why it never does."""

from reservations.alternatives import Alternative, Compromise, alternatives
from reservations.openings import Opening, Question, openings

__all__ = ["Alternative", "Compromise", "Opening", "Question", "alternatives", "openings"]
