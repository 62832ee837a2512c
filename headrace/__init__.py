"""What a person types: the `headrace` command, and the supervisor behind `headrace up`."""
