"""The Git adapter: one contract suite for the real remotes and the in-memory double, and what only real ones can do."""
