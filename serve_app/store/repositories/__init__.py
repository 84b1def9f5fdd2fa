"""Repositories, one module a subject.

Every function takes the session of the caller's transaction first, and never commits. Lists that may be long go to
the server as one array parameter: a statement holds at most 32767 parameters.
"""
