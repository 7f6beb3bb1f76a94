"""What of the clouds was taken in the past: as their sources remember it, and as we wrote it down."""
