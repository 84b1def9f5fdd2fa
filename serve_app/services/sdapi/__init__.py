"""Making pictures for the Stable Diffusion web API: what is asked for, the job that does it, what is answered."""
