//! What runs when a relation is used: views, rules, triggers, policies, foreign keys.

use super::{Kind, Maker, as_type};
use crate::acts::Act;

pub(super) const CARRIERS: &[Kind] = &[
    ("view", view),
    ("view of settings", view_of_settings),
    ("shadowed view", shadowed_view),
    ("rule", rule),
    ("rule of a view", rule_of_view),
    ("trigger", trigger),
    ("condition of a trigger", condition),
    ("deferred trigger", deferred),
    ("trigger behind a foreign key", behind_foreign_key),
    ("trigger of a view", trigger_of_view),
    ("policy", policy),
    ("event trigger", event_trigger),
    ("materialized view", materialized),
];

fn view(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    let with = *maker.dice.pick(&["", "WITH (security_barrier)", "WITH (security_invoker)"]);
    let sql = match maker.dice.between(0, 4) {
        0 => format!("CREATE VIEW {n}_v {with} AS SELECT id, {code} AS a FROM items"),
        1 => format!("CREATE VIEW {n}_v {with} AS SELECT id, id AS a FROM items WHERE ({code}) IS NOT NULL"),
        2 => format!(
            "CREATE VIEW {n}_v {with} AS SELECT id, a FROM items, LATERAL (SELECT {code} AS a OFFSET 0) s"
        ),
        _ => format!(
            "CREATE RECURSIVE VIEW {n}_v (id, a) AS SELECT 1, {code} UNION ALL SELECT id + 1, a FROM {n}_v WHERE id < 2"
        ),
    };
    maker.owner(sql);
    maker.owner(format!("CREATE VIEW {n}_over AS SELECT v.a AS b FROM {n}_v v"));
    maker.owner(format!("CREATE FUNCTION public.{n}_reads() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT sum(b) FROM public.{n}_over'"));
    maker.query(format!("TABLE {n}_v"));
    maker.query(format!("SELECT * FROM public.{n}_over"));
    maker.of(format!("{n}_v"), "a");
    maker.of(format!("{n}_v AS v"), "v");
    maker.of(format!("{n}_over v"), "(v).b");
    maker.value(format!("{n}_reads()"));
    maker.statement(format!("INSERT INTO sink SELECT a::text FROM {n}_v"));
}

/// What is written to it, PostgreSQL's own rule sets.
fn view_of_settings(maker: &mut Maker) {
    let n = maker.n.clone();
    (maker.act, maker.made.act) = (Act::Zone, Act::Zone);
    maker.owner(format!("CREATE VIEW {n}_v AS SELECT * FROM pg_settings"));
    maker.owner(format!("CREATE VIEW {n}_over AS SELECT name, setting FROM {n}_v"));
    for view in ["v", "over"] {
        let update = format!("UPDATE {n}_{view} SET setting = 'Asia/Kolkata' WHERE name = 'TimeZone'");
        maker.statement(format!("DO $d$ BEGIN {update}; END $d$"));
        maker.statement(update);
    }
}

/// A view with the name of one of PostgreSQL's own, found before it.
fn shadowed_view(maker: &mut Maker) {
    let code = maker.code();
    let name = *maker.dice.pick(&["pg_tables", "pg_class", "pg_views"]);
    maker.owner(format!("CREATE VIEW public.{name} AS SELECT {code} AS a"));
    maker.made.first = Some("SET search_path = public, pg_catalog".into());
    maker.query(format!("SELECT * FROM {name}"));
    maker.of(name, "a");
    maker.query(format!("SELECT a FROM public.{name}"));
}

fn rule(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    maker.owner(format!("CREATE TABLE {n}_t (id int); INSERT INTO {n}_t VALUES (1)"));
    let event = *maker.dice.pick(&["INSERT", "UPDATE", "DELETE"]);
    let action = match maker.dice.between(0, 3) {
        0 => format!("INSERT INTO sink VALUES (({code})::text)"),
        1 => format!("UPDATE sink SET x = ({code})::text"),
        _ => format!("SELECT {code} AS a"),
    };
    maker.owner(format!("CREATE RULE {n}_r AS ON {event} TO {n}_t DO ALSO {action}"));
    changed(maker);
}

fn rule_of_view(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    maker.owner(format!("CREATE VIEW {n}_t AS SELECT id FROM items"));
    let value = as_type(&code, "text");
    for event in ["INSERT", "UPDATE", "DELETE"] {
        maker.owner(format!(
            "CREATE RULE {n}_{event} AS ON {event} TO {n}_t DO INSTEAD INSERT INTO sink VALUES ({value})"
        ));
    }
    changed(maker);
}

/// A relation is written to.
fn changed(maker: &mut Maker) {
    let n = maker.n.clone();
    maker.statement(format!("INSERT INTO {n}_t VALUES (1)"));
    maker.statement(format!("UPDATE {n}_t SET id = id + 1"));
    maker.statement(format!("DELETE FROM {n}_t"));
    maker.statement(format!("WITH w AS (SELECT 1 AS id) INSERT INTO {n}_t SELECT id FROM w"));
}

fn trigger_function(maker: &mut Maker) -> String {
    let (n, code) = (maker.n.clone(), maker.code());
    maker.owner(format!(
        "CREATE FUNCTION public.{n}_fires() RETURNS trigger LANGUAGE plpgsql AS $t$ BEGIN PERFORM {code}; RETURN coalesce(NEW, OLD); END $t$"
    ));
    format!("public.{n}_fires()")
}

fn trigger(maker: &mut Maker) {
    let (n, function) = (maker.n.clone(), trigger_function(maker));
    maker.owner(format!("CREATE TABLE {n}_t (id int); INSERT INTO {n}_t VALUES (1)"));
    let when = *maker.dice.pick(&["BEFORE", "AFTER"]);
    let each = *maker.dice.pick(&["ROW", "STATEMENT"]);
    maker.owner(format!(
        "CREATE TRIGGER {n}_t {when} INSERT OR UPDATE OR DELETE ON {n}_t FOR EACH {each} EXECUTE FUNCTION {function}"
    ));
    maker.owner(format!("CREATE TRIGGER {n}_u {when} TRUNCATE ON {n}_t EXECUTE FUNCTION {function}"));
    changed(maker);
    maker.statement(format!("TRUNCATE {n}_t"));
    maker.copy(format!("{n}_t"), "5\n");
    maker.statement(format!("MERGE INTO {n}_t t USING items i ON t.id = i.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (i.id)"));
}

fn condition(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    maker.owner(format!("CREATE TABLE {n}_t (id int); INSERT INTO {n}_t VALUES (1)"));
    maker.owner(format!("CREATE TRIGGER {n}_t BEFORE INSERT OR UPDATE OR DELETE ON {n}_t FOR EACH ROW WHEN (({code}) IS NULL) EXECUTE FUNCTION suppress_redundant_updates_trigger()"));
    changed(maker);
}

fn deferred(maker: &mut Maker) {
    let (n, function) = (maker.n.clone(), trigger_function(maker));
    maker.owner(format!("CREATE TABLE {n}_t (id int); INSERT INTO {n}_t VALUES (1)"));
    maker.owner(format!(
        "CREATE CONSTRAINT TRIGGER {n}_t AFTER INSERT OR UPDATE OR DELETE ON {n}_t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {function}"
    ));
    changed(maker);
}

fn behind_foreign_key(maker: &mut Maker) {
    let (n, function) = (maker.n.clone(), trigger_function(maker));
    maker.owner(format!("CREATE TABLE {n}_t (id int PRIMARY KEY); INSERT INTO {n}_t VALUES (1), (2)"));
    maker.owner(format!("CREATE TABLE {n}_child (id int REFERENCES {n}_t ON DELETE CASCADE ON UPDATE CASCADE); INSERT INTO {n}_child VALUES (1)"));
    maker.owner(format!(
        "CREATE TRIGGER {n}_c AFTER DELETE OR UPDATE ON {n}_child FOR EACH ROW EXECUTE FUNCTION {function}"
    ));
    maker.statement(format!("DELETE FROM {n}_t WHERE id = 1"));
    maker.statement(format!("UPDATE {n}_t SET id = id + 10"));
}

fn trigger_of_view(maker: &mut Maker) {
    let (n, function) = (maker.n.clone(), trigger_function(maker));
    maker.owner(format!("CREATE VIEW {n}_t AS SELECT id FROM items"));
    maker.owner(format!("CREATE TRIGGER {n}_t INSTEAD OF INSERT OR UPDATE OR DELETE ON {n}_t FOR EACH ROW EXECUTE FUNCTION {function}"));
    changed(maker);
}

fn policy(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    maker.owner(format!("CREATE TABLE {n}_t (id int); INSERT INTO {n}_t VALUES (1), (2)"));
    maker.owner(format!(
        "ALTER TABLE {n}_t ENABLE ROW LEVEL SECURITY; ALTER TABLE {n}_t FORCE ROW LEVEL SECURITY"
    ));
    let check = *maker.dice.pick(&["", "FOR INSERT WITH CHECK"]);
    if check.is_empty() {
        maker.owner(format!("CREATE POLICY {n}_p ON {n}_t USING (({code}) IS NOT NULL)"));
    } else {
        maker.owner(format!("CREATE POLICY {n}_p ON {n}_t FOR INSERT WITH CHECK (({code}) IS NOT NULL); CREATE POLICY {n}_q ON {n}_t USING (true)"));
    }
    maker.owner(format!("CREATE VIEW {n}_v AS SELECT id FROM {n}_t"));
    maker.query(format!("SELECT * FROM {n}_t ORDER BY id"));
    maker.query(format!("SELECT * FROM {n}_v ORDER BY id"));
    maker.of(format!("{n}_t"), "id");
    maker.statement(format!("COPY {n}_t TO STDOUT"));
    changed(maker);
}

fn event_trigger(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    let event = *maker.dice.pick(&["ddl_command_start", "ddl_command_end", "sql_drop"]);
    maker.superuser(format!("CREATE FUNCTION public.{n}_fires() RETURNS event_trigger LANGUAGE plpgsql AS $t$ BEGIN PERFORM {code}; END $t$"));
    maker.superuser(format!("CREATE EVENT TRIGGER {n}_e ON {event} EXECUTE FUNCTION public.{n}_fires()"));
    maker.statement(format!("CREATE TABLE public.{n}_made (); DROP TABLE public.{n}_made"));
    maker.statement("COMMENT ON TABLE public.items IS 'seen'");
    maker.statement(format!("CREATE VIEW public.{n}_made AS SELECT 1 AS x; DROP VIEW public.{n}_made"));
}

fn materialized(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    maker.owner(format!("CREATE MATERIALIZED VIEW {n}_m AS SELECT {code} AS a"));
    maker.statement(format!("REFRESH MATERIALIZED VIEW {n}_m"));
    maker.query(format!("TABLE {n}_m"));
    maker.of(format!("{n}_m"), "a IS NULL");
    maker.statement(format!(
        "CREATE MATERIALIZED VIEW {n}_again AS SELECT {code} AS a; DROP MATERIALIZED VIEW {n}_again"
    ));
}
