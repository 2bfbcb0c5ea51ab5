"""All that waits for a GPU: correctness, timings, queued experiments (``make gpu``)."""
