"""Speed: products, training steps and trainers timed in pairs, against peers and floors."""
