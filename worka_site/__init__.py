"""The site: settings, addresses and start-up of everything else."""
