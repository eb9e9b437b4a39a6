"""What a run is asked: modes, prompts, chat rendering and its preflight."""
