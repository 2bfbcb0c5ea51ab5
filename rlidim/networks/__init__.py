"""Networks: what is trained, and how theta_0 is drawn."""
