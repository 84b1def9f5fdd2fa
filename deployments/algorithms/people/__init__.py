"""Many faces into people: average linkage, incremental clustering, neighbour search."""
