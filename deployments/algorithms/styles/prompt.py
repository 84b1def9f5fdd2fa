"""Prompts for image models: a style's template with words about the image in it."""

from __future__ import annotations

import re

from configs.styles import SUBJECT
from deployments.algorithms.a1111.prompts.attention import parse_attention
from deployments.algorithms.a1111.prompts.extra_networks import extract_networks

UNKNOWN_SUBJECT = "the scene of the photograph"
"""Subject of an image that has not been described."""
MAX_SUBJECT = 300
"""Longest subject, characters: more would push the style itself out of the text encoder's window."""

_SYNTAX = re.compile(r"[<>(){}\[\]|\\:]+")
"""Characters that mean something in a prompt: weights, LoRAs, schedules."""


def write_prompt(template: str, subject: str = UNKNOWN_SUBJECT) -> str:
    """Fill in a template: the subject in place of `{subject}`."""
    return template.replace(SUBJECT, subject)


def plain_prompt(prompt: str) -> str:
    """Reduce a prompt to plain sentences, for models that read those: without weights, LoRAs and line ends."""
    stretches = parse_attention(extract_networks(prompt).text)
    return " ".join("".join(", " if stretch.is_break else stretch.text for stretch in stretches).split())


def clean_subject(text: str) -> str:
    """Reduce a description of an image, by a person or a model, to one line of plain words. May be empty."""
    words = " ".join(_SYNTAX.sub(" ", text).split()).strip(" .,;\"'`*")
    if len(words) <= MAX_SUBJECT:
        return words
    return words[: MAX_SUBJECT + 1].rsplit(" ", 1)[0].rstrip(" .,;")[:MAX_SUBJECT]
