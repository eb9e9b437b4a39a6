"""The run directory on disk: manifest, shards, opening, verifying."""
