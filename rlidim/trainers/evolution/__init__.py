"""Evolution strategies on theta_d: OpenAI-ES, ARS and CMA-ES."""
