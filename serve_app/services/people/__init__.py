"""People of a user's, in all albums: grouped, corrected, named."""
