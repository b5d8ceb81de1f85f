"""Which samples an analysis has, and where their files come from."""
