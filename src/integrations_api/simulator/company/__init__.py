"""The made-up company that simulated sources tell of: its people and places, its words, and what goes wrong there."""
