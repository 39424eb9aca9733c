"""Keys for TLS that are made for one run: who has none of them can neither hear nor say anything."""
