-- Version 2: `meta` holds a fingerprint of the tables, guards and edges, which every `open` compares.

DROP TRIGGER {prefix}meta_insert_guard;
DROP TRIGGER {prefix}meta_update_guard;
UPDATE {prefix}meta SET value = '2' WHERE name = 'schema_version';
INSERT INTO {prefix}meta (name, value) VALUES ('fingerprint', 'de4a482f0611c053');
CREATE TRIGGER {prefix}meta_insert_guard BEFORE INSERT ON {prefix}meta BEGIN SELECT RAISE(ABORT, 'jobstate: the lifecycle is part of the program'); END;
CREATE TRIGGER {prefix}meta_update_guard BEFORE UPDATE ON {prefix}meta BEGIN SELECT RAISE(ABORT, 'jobstate: the lifecycle is part of the program'); END;
