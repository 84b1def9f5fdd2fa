"""The commands of `darkroom` that talk to a server; needs the extra `cli`."""
