"""The `darkroom` command: an HTTP client like any other, which imports nothing of the server."""
