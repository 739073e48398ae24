"""House rules: what the code says of itself stands in the documents, and nothing else does."""
