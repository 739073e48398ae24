"""Trust as values: certificates from templates, revocation, and the steps of rotations and rollovers."""
