"""Places of texts in a picture: which way up they stand, in which order they are read, which rows they form."""
