"""Numbers about face networks that ship with the code, each with the command that made it."""
