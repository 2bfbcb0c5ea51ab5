"""Evolution strategies on theta_d: OpenAI-ES and CMA-ES."""
