"""What the git connector is made of: its skills, the cage around a repository, and the reading of git's output."""
