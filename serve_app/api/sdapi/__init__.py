"""The Stable Diffusion web API, as existing clients speak it. docs/sdapi.md lists what is served and how."""
