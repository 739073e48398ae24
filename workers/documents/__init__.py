"""The file types of a mesh repository, how they are read and written, and where they stand."""
