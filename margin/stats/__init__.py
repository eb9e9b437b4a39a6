"""Statistics of anything measured on prompts: arrays in, estimates out. Rests on nothing else of margin."""
