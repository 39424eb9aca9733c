"""Workers: those of this machine, of a batch system, or of a scheduler that is there."""
