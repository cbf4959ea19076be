"""The schema: tables, constraints and guards as the code means them, and the frozen SQL that makes them."""
