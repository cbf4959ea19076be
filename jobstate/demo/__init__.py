"""`jobstate demo`: jobs on real files, with a stop and a crash on the way."""
