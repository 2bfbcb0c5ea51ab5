"""Tables and figures from the records alone; needs numpy, scipy and, for figures, matplotlib."""
