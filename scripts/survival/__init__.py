"""What scripts/kills.py is made of: processes that die, and a comparison that sees everything."""
