"""Solutions: a trained theta_d, saved, rebuilt, played, exported or compressed."""
