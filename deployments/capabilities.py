"""The capabilities of Darkroom: what each is called, the deployment that serves it, and how long a call of it may take.

Names only, so that a process which calls a capability does not load its models' libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Capability:
    """One row of `CAPABILITIES`."""

    name: str
    """Parameter of ingress and worker, key of the gateway's handles, attribute (`_name`) of the bundle."""
    deployment: str
    """Name of the Serve deployment in the split topology; Serve files and the dashboard use it."""
    path: str
    """`module:class` of that deployment."""
    deadline: str
    """Field of `configs.settings.Deadlines`: seconds that a call may take."""
    is_optional: bool = False
    """Deployed only where the graph is asked for it, and never part of the bundle."""

    def load(self) -> type[Any]:
        """Import the deployment's class."""
        module, name = self.path.split(":")
        loaded: type[Any] = getattr(import_module(module), name)
        return loaded


CAPABILITIES: Mapping[str, Capability] = {
    capability.name: capability
    for capability in (
        Capability("embedding", "Embedding", "deployments.embedding:EmbeddingDeployment", "embed_s"),
        Capability("tagging", "Tagging", "deployments.tagging:TaggingDeployment", "tags_s"),
        Capability("faces", "Faces", "deployments.faces:FacesDeployment", "faces_s"),
        Capability("clustering", "Clustering", "deployments.clustering:ClusteringDeployment", "clusters_s"),
        Capability("dedup", "Dedup", "deployments.dedup:DedupDeployment", "duplicates_s"),
        Capability("stylizing", "Stylizing", "deployments.stylization:StylizingDeployment", "style_s"),
        Capability("prompting", "Prompting", "deployments.prompting:PromptingDeployment", "prompt_s"),
        Capability("segmentation", "Segmentation", "deployments.segmentation:SegmentationDeployment", "segment_s"),
        Capability("avatars", "Avatars", "deployments.avatars:AvatarDeployment", "avatar_s"),
        Capability("texts", "Texts", "deployments.texts:TextsDeployment", "texts_s"),
        Capability("diffusion", "Diffusion", "deployments.diffusion:DiffusionDeployment", "hint_s", is_optional=True),
    )
}
"""By name. Diffusion's `generate`, which streams, has a deadline of its own (`generate_s`)."""
BUNDLED = tuple(name for name, capability in CAPABILITIES.items() if not capability.is_optional)
"""Names of those that every topology has."""
