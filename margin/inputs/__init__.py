"""What a run is asked: modes, prompts, chat rendering and its preflight."""

from margin.inputs import conditions as conditions  # whose names no mode may take, whatever is imported first
