"""The application: HTTP, use cases, persistence and the border to Ray Serve."""
