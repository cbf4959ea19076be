"""`jobstate demo`: the main job on real files, with a stop and a crash on the way."""
