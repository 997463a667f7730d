"""What scripts/report.py is made of: reading a run, measuring it, drawing it, the page."""
