"""Speed: products, training steps and whole runs timed in pairs, against peers and floors."""
