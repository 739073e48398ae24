"""The edge: says what one cluster exports. Installs without pygit2 and never imports `workers`."""
