"""Cells on a Ray cluster: the command's side, the process that Ray lives in, a node's side."""
