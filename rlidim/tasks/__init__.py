"""Tasks: what is measured, as one YAML file each says it."""
