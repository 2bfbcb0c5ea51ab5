"""Trainers: each makes one run; ``rlidim.tasks.settings.TRAINERS`` is the whole list."""
