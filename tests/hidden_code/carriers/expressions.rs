//! Expressions that belong to relations: defaults, generated columns, indexes, partition keys, checks, statistics.

use super::{Kind, Maker};

pub(super) const CARRIERS: &[Kind] = &[
    ("default", default),
    ("generated column", generated),
    ("index", index),
    ("index predicate", predicate),
    ("partition key", partition_key),
    ("check", check),
    ("statistics", statistics),
];

fn default(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    maker.owner(format!("CREATE TABLE {n}_t (id int, x int DEFAULT {code})"));
    maker.statement(format!("INSERT INTO {n}_t (id) VALUES (1)"));
    maker.statement(format!("INSERT INTO {n}_t DEFAULT VALUES RETURNING x"));
    maker.statement(format!("INSERT INTO {n}_t VALUES (1, DEFAULT)"));
    maker.statement(format!("INSERT INTO {n}_t (id) SELECT id FROM items"));
    maker.statement(format!("UPDATE {n}_t SET x = DEFAULT"));
    maker.statement(format!(
        "MERGE INTO {n}_t t USING items i ON t.id = i.id WHEN NOT MATCHED THEN INSERT (id) VALUES (i.id)"
    ));
    maker.statement(format!("WITH w AS (INSERT INTO {n}_t (id) VALUES (1) RETURNING x) SELECT x FROM w"));
    maker.statement(format!(
        "ALTER TABLE {n}_t ADD COLUMN y int DEFAULT {code}; ALTER TABLE {n}_t DROP COLUMN y"
    ));
    maker.copy(format!("{n}_t (id)"), "1\n");
}

/// A table of which some expression calls this.
fn written(maker: &mut Maker, function: &str) {
    let n = maker.n.clone();
    maker.statement(format!("INSERT INTO {n}_t (id) VALUES (4)"));
    maker.statement(format!("UPDATE {n}_t SET id = id + 1"));
    maker.copy(format!("{n}_t (id)"), "5\n");
    maker.statement(format!("INSERT INTO {n}_t (id) SELECT id FROM items RETURNING id"));
    maker.statement(format!("ANALYZE {n}_t"));
    maker.query(format!("SELECT id FROM {n}_t WHERE {function}(id) > 0 ORDER BY id"));
    maker.query(format!("SELECT count(*) FROM {n}_t WHERE {function}(1) = 1"));
}

fn generated(maker: &mut Maker) {
    let (n, function) = (maker.n.clone(), maker.immutable_code());
    maker.owner(format!("CREATE TABLE {n}_t (id int, g int GENERATED ALWAYS AS ({function}(id)) STORED)"));
    written(maker, &function);
}

fn index(maker: &mut Maker) {
    let (n, function) = (maker.n.clone(), maker.immutable_code());
    let unique = *maker.dice.pick(&["", "", "UNIQUE"]);
    maker.owner(format!("CREATE TABLE {n}_t (id int)"));
    maker.owner(format!("CREATE {unique} INDEX {n}_i ON {n}_t ({function}(id))"));
    written(maker, &function);
    maker.statement(format!("REINDEX INDEX {n}_i"));
}

fn predicate(maker: &mut Maker) {
    let (n, function) = (maker.n.clone(), maker.immutable_code());
    maker.owner(format!("CREATE TABLE {n}_t (id int)"));
    maker.owner(format!("CREATE INDEX {n}_i ON {n}_t (id) WHERE {function}(id) > 0"));
    written(maker, &function);
}

fn partition_key(maker: &mut Maker) {
    let (n, function) = (maker.n.clone(), maker.immutable_code());
    let how = *maker.dice.pick(&["LIST", "RANGE"]);
    maker.owner(format!("CREATE TABLE {n}_t (id int) PARTITION BY {how} (({function}(id)))"));
    maker.owner(match how {
        "LIST" => format!("CREATE TABLE {n}_p PARTITION OF {n}_t FOR VALUES IN (1)"),
        _ => format!("CREATE TABLE {n}_p PARTITION OF {n}_t FOR VALUES FROM (0) TO (2)"),
    });
    maker.owner(format!("CREATE TABLE {n}_rest PARTITION OF {n}_t DEFAULT"));
    written(maker, &function);
    maker.statement(format!("INSERT INTO {n}_p VALUES (1)"));
}

fn check(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    maker.owner(format!("CREATE TABLE {n}_t (id int CHECK (({code}) IS NOT NULL))"));
    maker.statement(format!("INSERT INTO {n}_t VALUES (1)"));
    maker.statement(format!("UPDATE {n}_t SET id = 2"));
    maker.copy(format!("{n}_t"), "5\n");
    maker.statement(format!("ALTER TABLE {n}_t ADD CHECK (({code}) IS NOT NULL)"));
}

fn statistics(maker: &mut Maker) {
    let (n, function) = (maker.n.clone(), maker.immutable_code());
    maker.owner(format!("CREATE TABLE {n}_t (id int, other int); INSERT INTO {n}_t VALUES (1, 1), (2, 2)"));
    maker.owner(format!("CREATE STATISTICS {n}_s ON ({function}(id)), other FROM {n}_t"));
    written(maker, &function);
}
