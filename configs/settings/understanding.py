"""Settings of what pictures are asked: vectors, tags, faces, duplicates, text."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from configs.settings.base import Options


class Embedding(Options):
    """The embedding model."""

    engine: Literal["efficientnet", "open_clip"] = "efficientnet"
    open_clip_model: str = "ViT-B-16-SigLIP"
    open_clip_pretrained: str = "webli"
    """Weights: a tag of open_clip's, or a local checkpoint file. Empty: random weights (tests)."""
    input_px: int = Field(224, gt=0)
    """Side in pixels of the square that the model takes."""
    device: str = "auto"
    """Device of open_clip. auto: the GPU where Ray gave the replica a share of one, else the CPU."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Precision of open_clip. auto: half precision on a GPU, float32 on a CPU."""
    memory_fraction: float = Field(0.25, gt=0, le=1)
    """Share of the GPU's memory that a process of embedding or tagging may take: Ray counts shares, it does not enforce
    them. The same as the `num_gpus` that the Serve file asks for."""
    calls_together: int | None = Field(None, gt=0)
    """Calls whose views go through the model in one pass. Default: 8 on a GPU, which one call does not fill, or more of
    small ones; on a CPU 1, where each core takes a part of one call, and calls of a view or two share a core's pass of
    eight."""


class Tags(Options):
    """Tagging and search."""

    threshold: float = Field(0.5, ge=0, le=1)
    top_k: int = Field(10, gt=0)
    fallback: float = Field(0.3, ge=0, le=1)
    """Probability from which on the likeliest tag is given to an image that has none over the threshold."""
    label_fallback: float = Field(0.2, ge=0, le=1)
    """The same for a client's own labels, of which there are fewer to be wrong with."""
    temperature: float = Field(0.8, gt=0)
    max_prior: float = Field(0.18, gt=0, lt=1)
    """Upper limit of a tag's prior, its assumed share of all images. Four ImageNet classes in ten are animals; without
    this the network would find one in any image that it makes nothing of."""
    min_cosine: float = Field(0.85, ge=-1, le=1)
    """Cosine above which a client's label that no word list knows counts as another word for a tag."""
    min_relevance: float = Field(0.2, ge=0, le=1)
    """Relevance to a query below which an image is no result."""
    min_face_share: float = Field(0.004, ge=0, le=1)
    """Share of the image from which on a face makes it an image of people."""
    portrait_share: float = Field(0.05, ge=0, le=1)
    """Share of the image from which on one face, with none near it in size, makes it a portrait."""


PERSON_CUTS = {"mobilefacenet": 1.02, "dlib": 0.385, "insightface": 1.1}
"""Face network -> its own cut, see `FaceOptions.cut`."""


GROUP_SHARES = {"mobilefacenet": 0.98}
"""Face network -> share of the cut up to which two groups of faces are one person by their mean directions. Networks
that are not named put people who look alike too near for it."""


class FaceOptions(Options):
    """Detection, embedding and clustering of faces."""

    engine: Literal["local", "insightface"] = "local"
    network: Literal["mobilefacenet", "dlib"] = "mobilefacenet"
    """Face network of the local engine: `mobilefacenet` tells people who look alike apart better and takes half the
    time (docs/people.md), `dlib` has weights whose origin is stated. Stored faces of the other are embedded anew."""
    insightface_root: Path | None = None
    """Folder that holds `models/buffalo_l`; default: insightface's own."""
    min_score: float = Field(0.8, ge=0, le=1)
    """Score from which on the local engine's verifier accepts a face."""
    smallest_px: int = Field(24, ge=8)
    """Width in pixels of the smallest face that the local engine must not miss, in the image as it is analysed. Smaller
    ones are rarely recognised; halving it takes four times the work on large images."""
    min_quality: float = Field(0.2, ge=0, le=1)
    """Quality below which a face joins no person."""
    cut: float | None = Field(None, gt=0, lt=1.4)
    """Root-mean-square distance of unit vectors up to which two groups of faces are one person. Default: the network's
    own, 1.02 for `mobilefacenet` and .385 for `dlib` (docs/people.md), 1.1 for `insightface` (a cosine of .4, a common
    choice; not measured here, since its weights could not be had)."""

    @property
    def person_cut(self) -> float:
        """`cut`, or the network's own."""
        return self.cut or PERSON_CUTS[self.recogniser]

    @property
    def group_cut(self) -> float | None:
        """Distance of mean directions up to which two groups are one person; None: they are not compared."""
        share = GROUP_SHARES.get(self.recogniser)
        return None if share is None else share * self.person_cut

    @property
    def recogniser(self) -> str:
        """Name of the face network, whichever setting names it."""
        return self.network if self.engine == "local" else self.engine


class Duplicates(Options):
    """Search for duplicates."""

    min_cosine: float = Field(0.55, ge=-1, le=1)
    max_neighbours: int = Field(10, gt=0)
    min_similar_cosine: float = Field(0.85, ge=-1, le=1)
    """Cosine from which on two images are `similar`: shots of one moment."""
    burst_gap_s: float = Field(10.0, ge=0)
    """Seconds between two shots of one burst at most. Cameras take several a second; people who try again take some
    seconds."""
    index_from: int = Field(1000, ge=2)
    """Images of an album from which on its vectors are not loaded for each search: an index of them is kept in the
    storage, and what is new is asked against it. Below, a search takes a second or two and less memory than that."""
    max_index_bytes: int = Field(512 * 2**20, gt=0)
    """Bytes of the largest index that is kept, some 400 an image; a larger album is searched anew each time."""


class Texts(Options):
    """Reading of text in pictures."""

    max_px: int = Field(1280, ge=32)
    """Longest side in pixels at which text is looked for. Finer costs a tenth of a second and more a picture, and finds
    print that is smaller than ten pixels there (docs/texts.md)."""
    read_px: int = Field(2048, ge=64)
    """Longest side in pixels at which pictures are decoded for reading: what was found is read at this size."""
    min_score: float = Field(0.5, ge=0, le=1)
    """Recognition score below which what was read is left out."""
    glance_px: int = Field(480, ge=32)
    """Longest side at which analyses in the background look whether there is any text, before they read it."""
    min_writing: float = Field(0.006, ge=0, le=1)
    """Share of a picture that looks like lines of text from which on analyses in the background look closer; one
    photograph in eight has as much (docs/texts.md). 0: at every picture. 1: at none."""
    recognition_model: Path | None = None
    """File of another recognition model of PP-OCR, in ONNX with its characters in the metadata, as rapidocr publishes
    them: one for Korean, which the one in rapidocr's wheel cannot read. Nothing is fetched."""
