"""Networks that are trained, and how their theta_0 is drawn."""
