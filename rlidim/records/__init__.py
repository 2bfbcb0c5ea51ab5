"""Records: what came out of each run, one JSON file each, and what they say together."""
