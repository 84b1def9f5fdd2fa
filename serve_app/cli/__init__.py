"""The `darkroom` command: the Python client's commands, and those about the server of this machine."""
