"""What all tests share: nothing yet but the rule that a warning is an error (pyproject.toml)."""
