"""Services elsewhere and their keys."""

from __future__ import annotations

from pydantic import SecretStr

from configs.settings.base import Options


class Providers(Options):
    """Addresses, names and keys at vendors.

    `sdwebui_auth`, `gemini_api_key` and `cloud_function_token` are set here; the SDKs of Google Cloud and AWS find
    their credentials in their own places (variables, files, roles).
    """

    sdwebui_url: str | None = None
    """Base URL of a server that speaks `/sdapi/v1`, without that path."""
    sdwebui_auth: SecretStr | None = None
    """Credentials of that server, `user:password`."""
    gemini_api_key: SecretStr | None = None
    gemini_base_url: str | None = None
    gemini_text_model: str = "gemini-2.5-flash"
    gemini_image_model: str = "gemini-2.5-flash-image"
    vertex_project: str | None = None
    vertex_location: str = "us-central1"
    vertex_base_url: str | None = None
    vertex_image_model: str = "gemini-2.5-flash-image"
    """A Gemini image model, or one of Imagen's editing models (`imagen-3.0-capability-001`), which Google means to end
    in 2027."""
    bedrock_region: str | None = None
    bedrock_endpoint_url: str | None = None
    bedrock_image_model: str = "us.stability.stable-image-control-structure-v1:0"
    vertex_edit_model: str = "imagen-3.0-capability-001"
    """Model of avatars: one of Imagen's editing models, which paint under a mask, or a Gemini image model."""
    bedrock_inpaint_model: str = "us.stability.stable-image-inpaint-v1:0"
    vision_endpoint: str | None = None
    """`host:port` of Cloud Vision; default: Google's. Connections to a loopback address are not encrypted."""
    rekognition_region: str | None = None
    rekognition_endpoint_url: str | None = None
    cloud_function_url: str | None = None
    """URL of the deployed `cloud_function/`, or of anything that takes the multipart image and answers
    `{"image_url"}`."""
    cloud_function_token: SecretStr | None = None
    """Token sent as `Authorization: Bearer`, where the function asks for one."""
    allow_paid_calls: bool = True
    """Whether calls that cost money are made; adapters refuse them otherwise. Tests run with it off."""
