"""Rejected events: what a queue brought and could not be accepted, listed with its reason and replayable after a fix."""
