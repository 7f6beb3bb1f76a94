"""The pages that `fairlead serve` shows beside the API: what is known, and what one's own sessions do.

They live under /pages, so that no route of the API meets them. What they show and do is what the API would
tell and allow the same person.
"""
