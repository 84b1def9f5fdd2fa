"""Image generation for the Stable Diffusion web API: requests, the job that serves them, the members of answers."""
