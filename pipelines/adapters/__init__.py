"""Foreign logs, told in our events."""
