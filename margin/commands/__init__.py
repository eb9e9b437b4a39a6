"""The commands, a module a subject. Each imports what it needs when it is called, so that help is quick."""
