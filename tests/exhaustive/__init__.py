"""Every interleaving of two workers, an operator, a sweeper and the clock over one job."""
