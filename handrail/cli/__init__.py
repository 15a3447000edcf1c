"""The `handrail` command, one file a verb."""
