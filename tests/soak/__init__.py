"""Everything at once, with faults, for as long as one likes."""
