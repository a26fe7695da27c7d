"""Hari plans, Ernest works, Daneel tells. They speak to the gateway like anybody's agents: by `worka` alone."""
