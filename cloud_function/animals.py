"""Animals and modes, and the prompts for an image model."""

from __future__ import annotations

ANIMALS = {
    "bear": "a friendly brown bear with round ears, a broad muzzle and thick brown fur",
    "cat": "a tabby cat with pointed ears, a small pink nose and long white whiskers",
    "dog": "a golden dog with floppy ears, a large black nose and soft golden fur",
    "fox": "a red fox with tall black-tipped ears, orange fur, white cheeks and a white muzzle",
    "frog": "a green tree frog with smooth moist skin and a very wide mouth",
    "koala": "a koala with large fluffy ears, grey fur and a big oval black nose",
    "lion": "a male lion with a full golden-brown mane, a broad nose and golden fur",
    "owl": "an owl with feathered facial discs, a hooked beak and ear tufts",
    "panda": "a giant panda with white fur, round black ears and black patches around the eyes",
    "rabbit": "a rabbit with long upright ears, a small pink nose and soft grey-brown fur",
    "tiger": "a tiger with orange fur, bold black stripes, white cheeks and a white muzzle",
    "wolf": "a grey wolf with pointed upright ears and grey fur with a pale face",
}
DEFAULT_ANIMAL = "fox"

MODES = {
    "character": "Replace the whole head of {people}, hair and ears included, with the head of {animal}.",
    "overlay": "Give the face of {people} the features of {animal}: its ears, fur or skin, nose and mouth. Keep the "
    "eyes and the expression human, so that they are still recognised.",
}
DEFAULT_MODE = "character"

_REST = (
    "Edit this photograph. {change} The head follows the pose and the light of the photograph. Keep the body, the "
    "clothes, the background and the framing exactly as they are. One picture, no text, no watermark."
)


def prompt(animal: str, mode: str, faces: int) -> str:
    """Write the prompt for `faces` people; `animal` is one of `ANIMALS`, `mode` one of `MODES`."""
    people = "the person" if faces == 1 else f"each of the {faces} people"
    return _REST.format(change=MODES[mode].format(people=people, animal=ANIMALS[animal]))
