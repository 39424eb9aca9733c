"""What every door must do."""
