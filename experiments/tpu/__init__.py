"""What TPUs and GPUs are given, seen from a machine that has none."""
