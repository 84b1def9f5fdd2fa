"""Data files that ship with the code: animals and the tag vocabulary."""
