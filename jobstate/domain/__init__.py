"""What jobs are and what may become of them: pure, without clock, chance or input and output."""
