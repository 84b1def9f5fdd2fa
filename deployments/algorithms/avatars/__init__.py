"""Animals drawn over people: parts painted once from the front, then posed, lit and laid over a photograph."""
