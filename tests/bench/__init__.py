"""`make bench`: the budgets, measured through the real code, each beside a baseline in the same run."""
