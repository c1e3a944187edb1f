"""The six stages in their order; one word names a stage everywhere.

Each module defines `run(params, paths) -> None` and opens with the command that runs it.
"""

STAGES = ("preprocess", "normalize", "search", "train", "evaluate", "register")
