"""Tags of the OpenAPI documents: in which order the subjects are shown, and what each is about."""

from __future__ import annotations

TAGS = [
    {"name": "images", "description": "Upload photographs, look at what is known of them, read their bytes."},
    {"name": "albums", "description": "Read images into an album, and ask for tags, duplicates, people and quality."},
    {
        "name": "duplicates",
        "description": "Groups of images that are one too many: kept, thrown away, or no group at all.",
    },
    {"name": "people", "description": "Who is in your images, what you say of them, and taking it back."},
    {"name": "styles", "description": "Photographs redrawn in a style."},
    {"name": "avatars", "description": "People as animals; faces and people cut out of a photograph."},
    {"name": "jobs", "description": "Long work: how far it is, its events while it runs, its cancellation."},
    {"name": "events", "description": "What changes, as a stream that resumes, or posted to an address of yours."},
    {"name": "history", "description": "Every image that was made, and every try that failed."},
    {"name": "users", "description": "Users and their keys, where the server asks for keys."},
    {"name": "capabilities", "description": "What this server works with."},
    {"name": "operations", "description": "For those who run the server: alive, ready, metrics, meanings of errors."},
    {"name": "tutorial", "description": "A tutorial's spellings of upload, avatars and users; without `/api/v1`."},
]
WEBUI_TAGS = [
    {
        "name": "stable-diffusion-web-api",
        "description": "AUTOMATIC1111's routes: generation, lists of models, settings, ControlNet.",
    }
]
