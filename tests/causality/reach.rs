//! Writes that change something else than they name, and reads that depend on more than they name.

use harness::Result;
use harness::client::{Client, front};

use crate::case::{Case, Say, play};
use crate::stage::{Look, PRIMARY, REPLICA, Stage};

#[test]
fn code_in_the_database_that_writes() -> Result<()> {
    play(&[
        Case::new(
            "function",
            "CREATE TABLE by_function AS SELECT 0 AS v;
             CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'UPDATE by_function SET v = 1 RETURNING v'",
            "SELECT v FROM by_function",
        )
        .queries(&["SELECT writes()"]),
        Case::new(
            "function in a transaction",
            "CREATE TABLE by_function_2 AS SELECT 0 AS v;
             CREATE FUNCTION writes_2() RETURNS int LANGUAGE sql AS 'UPDATE by_function_2 SET v = 1 RETURNING v'",
            "SELECT v FROM by_function_2",
        )
        .queries(&["BEGIN", "SELECT writes_2()", "COMMIT"]),
        Case::new(
            "function in a write",
            "CREATE TABLE by_function_3 AS SELECT 0 AS v; CREATE TABLE innocent (v int);
             CREATE FUNCTION writes_3() RETURNS int LANGUAGE sql AS 'UPDATE by_function_3 SET v = 1 RETURNING v'",
            "SELECT v FROM by_function_3",
        )
        .queries(&["INSERT INTO innocent VALUES (writes_3())"]),
        Case::new(
            "stable function that calls a volatile one",
            "CREATE TABLE by_nested AS SELECT 0 AS v;
             CREATE FUNCTION nested() RETURNS int LANGUAGE sql AS 'UPDATE by_nested SET v = 1 RETURNING v';
             CREATE FUNCTION claims() RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN nested(); END'",
            "SELECT v FROM by_nested",
        )
        .queries(&["BEGIN", "SELECT claims()", "COMMIT"]),
        Case::new(
            "view of a stable function that calls a volatile one",
            "CREATE TABLE by_view AS SELECT 0 AS v;
             CREATE FUNCTION nested_2() RETURNS int LANGUAGE sql AS 'UPDATE by_view SET v = 1 RETURNING v';
             CREATE FUNCTION claims_2() RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN nested_2(); END';
             CREATE VIEW viewing AS SELECT claims_2()",
            "SELECT v FROM by_view",
        )
        .queries(&["BEGIN", "TABLE viewing", "COMMIT"]),
        Case::new(
            "function called as a column",
            "CREATE TABLE by_column AS SELECT 0 AS v; CREATE TABLE columned AS SELECT 1 AS x;
             CREATE FUNCTION acts(columned) RETURNS int LANGUAGE sql AS 'UPDATE by_column SET v = 1 RETURNING v'",
            "SELECT v FROM by_column",
        )
        .queries(&["BEGIN", "SELECT c.acts FROM columned c", "COMMIT"]),
        Case::new(
            "aggregate",
            "CREATE TABLE by_aggregate AS SELECT 0 AS v; CREATE TABLE aggregated AS SELECT 1 AS x;
             CREATE FUNCTION step(int, int) RETURNS int LANGUAGE sql AS 'UPDATE by_aggregate SET v = 1 RETURNING v';
             CREATE AGGREGATE aggregate(int) (sfunc = step, stype = int, initcond = '0')",
            "SELECT v FROM by_aggregate",
        )
        .queries(&["BEGIN", "SELECT aggregate(x) FROM aggregated", "COMMIT"]),
        Case::new(
            "view of an aggregate that reads",
            "CREATE TABLE aggregate_reads AS SELECT 0 AS v; CREATE TABLE aggregated_2 AS SELECT 1 AS x;
             CREATE FUNCTION look(int, int) RETURNS int STABLE LANGUAGE sql AS 'SELECT v FROM aggregate_reads';
             CREATE AGGREGATE looking(int) (sfunc = look, stype = int, initcond = '0');
             CREATE VIEW of_aggregate AS SELECT looking(x) AS v FROM aggregated_2",
            "SELECT v FROM of_aggregate",
        )
        .queries(&["UPDATE aggregate_reads SET v = 1"]),
        Case::new("do", "CREATE TABLE by_do AS SELECT 0 AS v", "SELECT v FROM by_do")
            .queries(&["DO $$ BEGIN UPDATE by_do SET v = 1; END $$"]),
        Case::new(
            "procedure",
            "CREATE TABLE by_call AS SELECT 0 AS v;
             CREATE PROCEDURE calls() LANGUAGE plpgsql AS 'BEGIN UPDATE by_call SET v = 1; COMMIT; END'",
            "SELECT v FROM by_call",
        )
        .queries(&["CALL calls()"]),
        Case::new(
            "trigger",
            "CREATE TABLE triggers (v int); CREATE TABLE triggered AS SELECT 0 AS v;
             CREATE FUNCTION trigger_1() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN UPDATE triggered SET v = NEW.v; RETURN NEW; END';
             CREATE TRIGGER t BEFORE INSERT ON triggers FOR EACH ROW EXECUTE FUNCTION trigger_1()",
            "SELECT v FROM triggered",
        )
        .queries(&["INSERT INTO triggers VALUES (1)"]),
        Case::new(
            "trigger at commit",
            "CREATE TABLE triggers_2 (v int); CREATE TABLE triggered_2 AS SELECT 0 AS v;
             CREATE FUNCTION trigger_2() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN UPDATE triggered_2 SET v = NEW.v; RETURN NEW; END';
             CREATE CONSTRAINT TRIGGER t AFTER INSERT ON triggers_2 DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION trigger_2()",
            "SELECT v FROM triggered_2",
        )
        .queries(&["BEGIN", "INSERT INTO triggers_2 VALUES (1)", "COMMIT"]),
        Case::new(
            "rule",
            "CREATE TABLE ruled (v int); CREATE TABLE ruled_as_well AS SELECT 0 AS v;
             CREATE RULE r AS ON INSERT TO ruled DO ALSO UPDATE ruled_as_well SET v = NEW.v",
            "SELECT v FROM ruled_as_well",
        )
        .queries(&["INSERT INTO ruled VALUES (1)"]),
        Case::new(
            "materialized view",
            "CREATE TABLE underneath AS SELECT 0 AS v; CREATE MATERIALIZED VIEW material AS TABLE underneath",
            "SELECT v FROM material",
        )
        .queries(&["UPDATE underneath SET v = 1", "REFRESH MATERIALIZED VIEW material"]),
        Case::new(
            "stable function that reads",
            "CREATE TABLE read_by_function AS SELECT 0 AS v;
             CREATE FUNCTION reads() RETURNS int STABLE LANGUAGE sql AS 'SELECT v FROM read_by_function'",
            "SELECT reads()",
        )
        .queries(&["UPDATE read_by_function SET v = 1"]),
        Case::new(
            "rights by row",
            "CREATE TABLE allowed AS SELECT 0 AS v; CREATE TABLE guarded AS SELECT 7 AS id;
             CREATE POLICY p ON guarded USING ((SELECT v FROM allowed) = 1);
             ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY",
            "SELECT count(*) FROM guarded",
        )
        .queries(&["UPDATE allowed SET v = 1"]),
    ])
}

/// What a replica has refused once is known to write, though nothing in its text says so.
#[test]
fn writes_that_were_learned_write_each_time() -> Result<()> {
    play(&[
        Case::new(
            "operator",
            "CREATE TABLE by_operator AS SELECT 0 AS v;
             CREATE FUNCTION sets(int, int) RETURNS int LANGUAGE sql VOLATILE AS
                 'UPDATE by_operator SET v = $2 RETURNING v';
             CREATE OPERATOR @#@ (leftarg = int, rightarg = int, function = sets)",
            "SELECT v FROM by_operator",
        )
        .earlier(&["SELECT 7 @#@ 0", "SELECT 7 @#@ 0"])
        .queries(&["SELECT 7 @#@ 1"]),
        Case::new(
            "operator by the extended protocol",
            "CREATE TABLE by_operator_2 AS SELECT 0 AS v;
             CREATE FUNCTION sets_2(int, int) RETURNS int LANGUAGE sql VOLATILE AS
                 'UPDATE by_operator_2 SET v = $2 RETURNING v';
             CREATE OPERATOR @##@ (leftarg = int, rightarg = int, function = sets_2)",
            "SELECT v FROM by_operator_2",
        )
        .earlier(&["SELECT 7 @##@ 0", "SELECT 7 @##@ 0"])
        .say(Say::Ask(vec![
            front::parse("", "SELECT 7 @##@ 1", &[]),
            front::bind("", "", &[]),
            front::execute("", 0),
            front::sync(),
        ])),
        Case::new(
            "operator in a transaction",
            "CREATE TABLE by_operator_3 AS SELECT 0 AS v;
             CREATE FUNCTION sets_3(int, int) RETURNS int LANGUAGE sql VOLATILE AS
                 'UPDATE by_operator_3 SET v = $2 RETURNING v';
             CREATE OPERATOR @###@ (leftarg = int, rightarg = int, function = sets_3)",
            "SELECT v FROM by_operator_3",
        )
        .earlier(&["SELECT 7 @###@ 0", "SELECT 7 @###@ 0"])
        .queries(&["BEGIN", "SELECT 7 @###@ 1", "COMMIT"]),
    ])
}

/// In a database of its own: where operators write, every statement may.
#[test]
fn a_function_that_lies_about_itself_writes_each_time() -> Result<()> {
    play(&[
        Case::new(
            "function that says it only reads",
            "CREATE TABLE by_liar AS SELECT 0 AS v;
             CREATE FUNCTION writes_4(int) RETURNS int LANGUAGE sql VOLATILE AS
                 'UPDATE by_liar SET v = $1 RETURNING v';
             CREATE FUNCTION lies(n int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN writes_4(n); END'",
            "SELECT v FROM by_liar",
        )
        .earlier(&["SELECT lies(0)", "SELECT lies(0)"])
        .queries(&["SELECT lies(1)"]),
    ])
}

/// Each in a database of its own: where one such is, every statement may write.
#[test]
fn code_that_no_name_in_the_text_tells_of() -> Result<()> {
    let operator = "CREATE TABLE one AS SELECT 1 AS x; CREATE TABLE by_operator AS SELECT 0 AS v;
         CREATE FUNCTION act(int, int) RETURNS int LANGUAGE sql AS 'UPDATE by_operator SET v = 1 RETURNING v';
         CREATE OPERATOR @#@ (leftarg = int, rightarg = int, function = act)";
    let cast =
        "CREATE TYPE source AS (x int); CREATE TYPE target AS (y int); CREATE TABLE by_cast AS SELECT 0 AS v;
         CREATE FUNCTION act(source) RETURNS target LANGUAGE sql AS
             'UPDATE by_cast SET v = 1; SELECT ROW(1)::target';
         CREATE CAST (source AS target) WITH FUNCTION act(source)";
    let domain = "CREATE TABLE by_domain AS SELECT 0 AS v;
         CREATE FUNCTION act(int) RETURNS bool LANGUAGE sql AS 'UPDATE by_domain SET v = 1; SELECT true';
         CREATE DOMAIN checked AS int CHECK (act(VALUE))";
    for (name, tables, read, write) in [
        ("operator", operator, "SELECT v FROM by_operator", "SELECT x @#@ 1 FROM one"),
        ("operator without a relation", operator, "SELECT v FROM by_operator", "SELECT 1 @#@ 1"),
        ("operator in a write", operator, "SELECT v FROM by_operator", "UPDATE one SET x = x @#@ 1"),
        ("cast", cast, "SELECT v FROM by_cast", "SELECT ROW(1)::source::target"),
        ("domain", domain, "SELECT v FROM by_domain", "SELECT 1::checked"),
    ] {
        // Until weir knows the catalog everything counts as written: the first case gives it the time.
        let before = Case::new("plain", "CREATE TABLE plain AS SELECT 0 AS v", "SELECT v FROM plain");
        let case = Case::new(name, tables, read).queries(&["BEGIN", write, "COMMIT"]);
        play(&[before.queries(&["UPDATE plain SET v = 1"]), case])?;
    }
    Ok(())
}

/// A replica has of a sequence what was reserved in advance, whatever has been replayed.
#[test]
fn sequences_are_read_where_they_are_drawn_from() -> Result<()> {
    let stage = Stage::set(
        "CREATE SEQUENCE s; CREATE VIEW of_s AS SELECT last_value + 0 AS v FROM s; CREATE VIEW over AS TABLE of_s;
         CREATE FUNCTION known() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
    )?;
    let mut clients = [stage.client("session")?, stage.client("global")?, stage.client("strong")?];
    stage.wait_served_by_replica(&mut clients[1], "SELECT known()")?;
    clients[0].query("SELECT nextval('s')")?;
    stage.catch_up()?;
    let read = |client: &mut Client, sql| stage.look(client, sql);
    let right = Look { value: "1".to_owned(), on: vec![PRIMARY] };
    for sql in ["SELECT * FROM s", "TABLE public.s", "SELECT v FROM of_s", "SELECT v FROM over"] {
        for client in &mut clients {
            assert_eq!(read(client, sql)?, right, "{sql}");
        }
        assert_eq!(read(&mut stage.client("eventual")?, sql)?, right, "{sql}");
    }
    assert_ne!(
        stage.cluster.sql(REPLICA, "SELECT last_value FROM s")?.value(),
        "1",
        "nothing to be wrong about"
    );
    Ok(())
}

#[test]
fn relations_that_hang_together() -> Result<()> {
    play(&[
        Case::new(
            "view written",
            "CREATE TABLE base AS SELECT 0 AS v; CREATE VIEW over_base AS SELECT v FROM base",
            "SELECT v FROM base",
        )
        .queries(&["UPDATE over_base SET v = 1"]),
        Case::new(
            "view read",
            "CREATE TABLE base_2 AS SELECT 0 AS v; CREATE VIEW over_base_2 AS SELECT v FROM base_2;
             CREATE VIEW over_over AS SELECT o.v FROM over_base_2 o",
            "SELECT v FROM over_over",
        )
        .queries(&["UPDATE base_2 SET v = 1"]),
        Case::new(
            "view with a trigger",
            "CREATE TABLE instead AS SELECT 0 AS v; CREATE VIEW triggering AS SELECT 7 AS v;
             CREATE FUNCTION instead_of() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN UPDATE instead SET v = NEW.v; RETURN NEW; END';
             CREATE TRIGGER t INSTEAD OF INSERT ON triggering FOR EACH ROW EXECUTE FUNCTION instead_of()",
            "SELECT v FROM instead",
        )
        .queries(&["INSERT INTO triggering VALUES (1)"]),
        Case::new(
            "cascading delete",
            "CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1);
             CREATE TABLE children (id int PRIMARY KEY REFERENCES parents ON DELETE CASCADE);
             INSERT INTO children VALUES (1);
             CREATE TABLE grandchildren (id int REFERENCES children ON DELETE CASCADE);
             INSERT INTO grandchildren VALUES (1)",
            "SELECT count(*) FROM grandchildren",
        )
        .queries(&["DELETE FROM parents"])
        .turns("1", "0"),
        Case::new(
            "cascading update",
            "CREATE TABLE parents_2 (id int PRIMARY KEY); INSERT INTO parents_2 VALUES (0);
             CREATE TABLE children_2 (id int REFERENCES parents_2 ON UPDATE CASCADE); INSERT INTO children_2 VALUES (0)",
            "SELECT id FROM children_2",
        )
        .queries(&["UPDATE parents_2 SET id = 1"]),
        Case::new(
            "set null",
            "CREATE TABLE parents_3 (id int PRIMARY KEY); INSERT INTO parents_3 VALUES (0);
             CREATE TABLE children_3 (id int REFERENCES parents_3 ON DELETE SET NULL); INSERT INTO children_3 VALUES (0)",
            "SELECT count(*) FROM children_3 WHERE id IS NULL",
        )
        .queries(&["DELETE FROM parents_3"]),
        Case::new(
            "truncate cascade",
            "CREATE TABLE parents_4 (id int PRIMARY KEY); INSERT INTO parents_4 VALUES (0);
             CREATE TABLE children_4 (id int REFERENCES parents_4); INSERT INTO children_4 VALUES (0)",
            "SELECT count(*) FROM children_4",
        )
        .queries(&["TRUNCATE parents_4 CASCADE"])
        .turns("1", "0"),
        Case::new(
            "partition read",
            "CREATE TABLE parts (id int, v int) PARTITION BY LIST (id);
             CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1) PARTITION BY LIST (id);
             CREATE TABLE part_1_1 PARTITION OF part_1 FOR VALUES IN (1); INSERT INTO parts VALUES (1, 0)",
            "SELECT v FROM part_1_1",
        )
        .queries(&["UPDATE parts SET v = 1"]),
        Case::new(
            "partition written",
            "CREATE TABLE parts_2 (id int, v int) PARTITION BY LIST (id);
             CREATE TABLE part_2 PARTITION OF parts_2 FOR VALUES IN (1); INSERT INTO parts_2 VALUES (1, 0)",
            "SELECT v FROM parts_2",
        )
        .queries(&["UPDATE part_2 SET v = 1"]),
        Case::new(
            "heir read",
            "CREATE TABLE ancestor (v int); CREATE TABLE heir () INHERITS (ancestor); INSERT INTO heir VALUES (0)",
            "SELECT v FROM heir",
        )
        .queries(&["UPDATE ancestor SET v = 1"]),
        Case::new(
            "heir written",
            "CREATE TABLE ancestor_2 (v int); CREATE TABLE heir_2 () INHERITS (ancestor_2);
             INSERT INTO heir_2 VALUES (0)",
            "SELECT v FROM ancestor_2",
        )
        .queries(&["UPDATE heir_2 SET v = 1"]),
    ])
}

#[test]
fn names_that_mean_the_same() -> Result<()> {
    play(&[
        Case::new(
            "written by the search path",
            "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.one AS SELECT 0 AS v; CREATE TABLE one AS SELECT 7 AS v",
            "SELECT v FROM elsewhere.one",
        )
        .queries(&["SET search_path = elsewhere, public", "UPDATE one SET v = 1"]),
        Case::new(
            "read by the search path",
            "CREATE SCHEMA elsewhere_2; CREATE TABLE elsewhere_2.two AS SELECT 0 AS v; CREATE TABLE two AS SELECT 7 AS v",
            "SELECT v FROM two",
        )
        .reader("SET search_path = elsewhere_2, public")
        .queries(&["UPDATE elsewhere_2.two SET v = 1"]),
        Case::new(
            "search path of a transaction",
            "CREATE SCHEMA elsewhere_3; CREATE TABLE elsewhere_3.three AS SELECT 0 AS v;
             CREATE TABLE three AS SELECT 7 AS v",
            "SELECT v FROM elsewhere_3.three",
        )
        .queries(&["BEGIN", "SET LOCAL search_path = elsewhere_3", "UPDATE three SET v = 1", "COMMIT"]),
        Case::new(
            "unquoted capitals",
            "CREATE TABLE capitals AS SELECT 0 AS v",
            "SELECT v FROM \"capitals\"",
        )
        .queries(&["UPDATE Public.CAPITALS SET v = 1"]),
        Case::new(
            "Unicode escapes",
            "CREATE TABLE \"caf\u{e9}\" AS SELECT 0 AS v",
            "SELECT v FROM \"caf\u{e9}\"",
        )
        .queries(&["UPDATE U&\"caf\\00e9\" SET v = 1"]),
        Case::new(
            "names of a WITH query",
            "CREATE TABLE shadowed AS SELECT 0 AS v",
            "SELECT v FROM shadowed",
        )
        .queries(&["WITH shadowed AS (SELECT 1 AS v) UPDATE shadowed SET v = 1"]),
        Case::new(
            "renamed",
            "CREATE TABLE old_name AS SELECT 1 AS v; CREATE TABLE new_name AS SELECT 0 AS v",
            "SELECT v FROM new_name",
        )
        .say(Say::Ask(vec![front::query(
            "BEGIN; DROP TABLE new_name; ALTER TABLE old_name RENAME TO new_name; COMMIT",
        )])),
    ])
}
