"""The `darkroom` command: the API from a terminal. It is an HTTP client like any other and imports nothing of the server."""
