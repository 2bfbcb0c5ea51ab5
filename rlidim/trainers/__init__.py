"""Trainers, each of which makes runs; ``rlidim.tasks.settings.TRAINERS`` is the whole list."""
