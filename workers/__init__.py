"""The centre: computes the tree that should be and proposes the difference."""
