"""Animals drawn over people: their parts are painted once from the front, then posed, lit and laid over a photograph."""
