"""Solutions: what is done with a trained theta_d: kept, rebuilt, played, exported, compressed."""
