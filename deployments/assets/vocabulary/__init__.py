"""Tag vocabulary: reviewed data files that ship with the code."""
