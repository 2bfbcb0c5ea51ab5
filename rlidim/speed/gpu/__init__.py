"""Work that needs a GPU: correctness, timings, queued experiments (``make gpu``)."""
