"""Quality measurements on labelled images."""
