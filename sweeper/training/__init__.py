"""The built-in task: data, models, initialisation, schedules, one training loop."""
