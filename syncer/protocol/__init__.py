"""The vocabulary that both sides of the border speak; all of `syncer` that `workers` may import."""
