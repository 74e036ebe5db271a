"""Training configs: each module defines ``CONFIG``."""
