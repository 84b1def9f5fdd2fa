"""Settings, styles and the weights' manifest."""
