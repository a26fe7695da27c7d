"""What each page shows: one module per page, filled from queries alone."""
