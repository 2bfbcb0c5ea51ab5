"""Tasks, each described by one YAML file."""
