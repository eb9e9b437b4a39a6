"""How far the modes stand apart, by measures other than the silhouette: a file a measure, `table` runs them
all."""
