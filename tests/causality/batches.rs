//! Batches that are answered bit by bit: whatever follows a Flush belongs to the same transaction, and nothing that
//! was written in it is committed before the Sync (manual, 53.2.3).

use harness::client::{Client, Message, front};
use harness::{Result, wait_for};

use crate::case::ask;
use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage, first_value};

/// Parses and binds a statement without a name.
fn bound(sql: &str) -> Vec<Vec<u8>> {
    vec![front::parse("", sql, &[]), front::bind("", "", &[])]
}

/// The same, and messages behind it.
fn bound_and(sql: &str, rest: &[Vec<u8>]) -> Vec<Vec<u8>> {
    [bound(sql), rest.to_vec()].concat()
}

/// Sends messages, and listens until the answers are those of these tags.
fn hear(client: &mut Client, frames: &[Vec<u8>], tags: &str) -> Result<()> {
    client.send(frames)?;
    for tag in tags.chars() {
        let message = client.read()?;
        assert_eq!(char::from(message.tag), tag, "{message:?}");
    }
    Ok(())
}

/// A batch that writes a table of its own.
struct Batch {
    table: &'static str,
    /// What the client sends, each time with the tags of what it waits for.
    begins: Vec<(Vec<Vec<u8>>, &'static str)>,
    /// What it sends at last, up to the Sync.
    ends: Vec<Vec<u8>>,
}

impl Batch {
    fn of(table: &'static str, frames: Vec<Vec<u8>>, heard: &'static str) -> Self {
        Self { table, begins: vec![(frames, heard)], ends: vec![front::sync()] }
    }

    fn then(mut self, frames: &[Vec<u8>], heard: &'static str) -> Self {
        self.begins.push((frames.to_vec(), heard));
        self
    }

    fn ending(mut self, frames: &[Vec<u8>]) -> Self {
        self.ends = frames.to_vec();
        self
    }

    /// Tables whose reading says 0 before the batch and 1 after it.
    fn all() -> Vec<Self> {
        let (execute, one) = (front::execute("", 0), front::execute("", 1));
        let (flush, sync) = (front::flush(), front::sync());
        let copied = [front::copy_data("1\n"), front::copy_done(), flush.clone()];
        let executed = [execute.clone(), flush.clone()];
        let one_row = [one, flush.clone()];
        let insert = |table: &str| format!("INSERT INTO {table} VALUES (0), (1) RETURNING v");
        vec![
            Self::of("executed", bound_and("UPDATE executed SET v = 1", &executed), "12C"),
            Self::of(
                "only_bound",
                bound_and("UPDATE only_bound SET v = 1", std::slice::from_ref(&flush)),
                "12",
            )
            .ending(&[execute.clone(), sync.clone()]),
            Self::of("parsed", vec![front::parse("", "UPDATE parsed SET v = 1", &[]), flush.clone()], "1")
                .ending(&[front::bind("", "", &[]), execute.clone(), sync.clone()]),
            Self::of("copied", bound_and("COPY copied FROM STDIN", &executed), "12G").then(&copied, "C"),
            Self::of("copied_late", bound_and("COPY copied_late FROM STDIN", &executed), "12G")
                .ending(&[&copied[..2], std::slice::from_ref(&sync)].concat()),
            Self::of("one_row", bound_and(&insert("one_row"), &one_row), "12Ds"),
            Self::of("all_rows", bound_and(&insert("all_rows"), &one_row), "12Ds").then(&executed, "DC"),
            Self::of("last_row", bound_and(&insert("last_row"), &one_row), "12Ds").ending(&[execute, sync]),
        ]
    }
}

/// What the batch wrote is marked when it is committed, though its statement was answered long before.
#[test]
fn a_batch_writes_when_it_ends() -> Result<()> {
    let batches = Batch::all();
    let table = |batch: &Batch| format!("CREATE TABLE {} AS SELECT 0 AS v", batch.table);
    let stage = Stage::set(&batches.iter().map(table).collect::<Vec<_>>().join(";"))?;
    let mut global = stage.client("global")?;
    let mut wrong = Vec::new();
    for batch in &batches {
        let read = format!("SELECT max(v) FROM {}", batch.table);
        let mut writer = stage.client("session")?;
        for (frames, heard) in &batch.begins {
            hear(&mut writer, frames, heard)?;
        }
        // Whatever was marked until now, the replica holds it when this is served by it.
        assert_eq!(stage.wait_served_by_replica(&mut global, &read)?, "0", "{}", batch.table);
        stage.cluster.pause_replay(REPLICA)?;
        let heard = writer.ask(&batch.ends)?;
        assert!(heard.iter().all(|message| message.error().is_none()), "{}: {heard:?}", batch.table);
        assert_eq!(stage.cluster.sql(PRIMARY, &read)?.value(), "1", "{}", batch.table);
        let careless = stage.look(&mut stage.client("eventual")?, &read)?;
        assert_eq!(careless, Look { value: "0".to_owned(), on: vec![REPLICA] }, "{}", batch.table);
        let mut strong = stage.client("strong")?;
        for (who, client) in [("writer", &mut writer), ("global", &mut global), ("strong", &mut strong)] {
            let look = stage.look(client, &read)?;
            if look.value != "1" {
                wrong.push(format!("{}: {who}: {look:?}", batch.table));
            }
        }
        stage.catch_up()?;
    }
    assert!(wrong.is_empty(), "{} answers are wrong\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// A row lock shows the row as it is when it is locked, which is at the Execute.
#[test]
fn a_batch_sees_until_it_ends() -> Result<()> {
    let stage = Stage::set("CREATE TABLE t AS SELECT 0 AS v; CREATE TABLE u AS SELECT 0 AS v")?;
    for (read, sql) in [
        ("SELECT v FROM t", "SELECT v FROM t FOR UPDATE"),
        ("SELECT v FROM u", "/* weir: primary */ SELECT v FROM u FOR SHARE"),
    ] {
        let mut client = stage.client("session")?;
        hear(&mut client, &bound_and(sql, &[front::flush()]), "12")?;
        stage.wait_served_by_replica(&mut stage.client("global")?, read)?;
        stage.cluster.pause_replay(REPLICA)?;
        stage.cluster.sql(PRIMARY, "UPDATE t SET v = 1; UPDATE u SET v = 1")?;
        assert_eq!(first_value(&client.ask(&[front::execute("", 0), front::sync()])?)?, "1", "{sql}");
        assert_eq!(stage.look(&mut client, read)?.value, "1", "{sql}");
        stage.catch_up()?;
        stage.cluster.sql(PRIMARY, "UPDATE t SET v = 0; UPDATE u SET v = 0")?;
        stage.cluster.wait_caught_up()?;
    }
    Ok(())
}

/// `t` was written by somebody and the replica lacks it; reads of `u` are served by the replica all the same.
fn only_t_is_old() -> Result<Stage> {
    let stage = Stage::set("CREATE TABLE t AS SELECT 0 AS v; CREATE TABLE u AS SELECT 0 AS v")?;
    let mut writer = stage.client("eventual")?;
    wait_for("a write to concern its table only", PATIENCE, || {
        stage.catch_up()?;
        writer.query("UPDATE t SET v = 0")?;
        let mut global = stage.client("global")?;
        stage.wait_served_by_replica(&mut global, "SELECT v FROM t")?;
        stage.wait_served_by_replica(&mut global, "SELECT v FROM u")?;
        stage.cluster.pause_replay(REPLICA)?;
        writer.query("UPDATE t SET v = 1")?;
        Ok((stage.look(&mut global, "SELECT v FROM u")?.on == [REPLICA]).then_some(()))
    })?;
    Ok(stage)
}

/// What was fresh enough for the first statement of a batch need not be for the next.
#[test]
fn each_part_of_a_batch_reads_what_it_must() -> Result<()> {
    let stage = only_t_is_old()?;
    let tagged = |sql: &str, tag: &str| format!("{sql} /* part {tag} */");
    let eventual = "/* weir: consistency=eventual */ SELECT v FROM u";
    for (level, first, expected) in [
        ("eventual", "SELECT v FROM u", "0"),
        ("global", "SELECT v FROM u", "1"),
        ("global", eventual, "1"),
        ("strong", eventual, "1"),
    ] {
        let mut client = stage.client(level)?;
        let mark = stage.cluster.mark();
        let parts = bound_and(&tagged(first, level), &[front::execute("", 0), front::flush()]);
        hear(&mut client, &parts, "12DC")?;
        assert_eq!(stage.cluster.ran_on(&mark, &format!("part {level}")), [REPLICA], "{level}, {first}");
        let rest = bound_and("SELECT v FROM t", &[front::execute("", 0), front::sync()]);
        let heard = client.ask(&rest)?;
        assert_eq!(first_value(&heard)?, expected, "{level}, {first}: {heard:?}");
        assert_eq!(heard.last().and_then(Message::status), Some('I'));
        assert_eq!(client.query("SELECT 1")?.value(), "1", "the session lives on");
    }
    Ok(())
}

/// The second query arrives while the first is on its way: the connection that answers the first is at hand, and the
/// answer about weir itself is waited for.
#[test]
fn a_query_behind_one_that_a_replica_answers_reads_what_it_must() -> Result<()> {
    let stage = only_t_is_old()?;
    let seconds =
        ["SELECT v FROM t", "SHOW weir.consistency; SELECT v FROM t", "SHOW weir.route; SELECT v FROM t"];
    for (level, expected) in [("eventual", "0"), ("global", "1")] {
        for second in seconds {
            let mut client = stage.client(level)?;
            let heard = ask(&mut client, &[front::query("SELECT v FROM u"), front::query(second)])?;
            let rows: Vec<_> = heard.iter().filter(|m| m.tag == b'D').flat_map(Message::text_row).collect();
            assert_eq!(rows.first(), Some(&Some("0".to_owned())), "{level}, {second}: {heard:?}");
            assert_eq!(rows.last(), Some(&Some(expected.to_owned())), "{level}, {second}: {heard:?}");
        }
    }
    Ok(())
}

/// A Bind too long to be looked at as a whole, of a statement that only the server knows.
#[test]
fn a_long_bind_of_what_was_prepared_in_sql_writes() -> Result<()> {
    let stage = Stage::set("CREATE TABLE t AS SELECT 0 AS v")?;
    let read = "SELECT v FROM t";
    let mut writer = stage.client("session")?;
    let mut global = stage.client("global")?;
    writer.query("PREPARE p(text) AS UPDATE t SET v = length($1)")?;
    assert_eq!(stage.wait_served_by_replica(&mut global, read)?, "0");
    stage.cluster.pause_replay(REPLICA)?;
    let long = vec![b'x'; 300 << 10];
    let heard = writer.ask(&[front::bind("", "p", &[Some(&long)]), front::execute("", 0), front::sync()])?;
    assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
    let written = long.len().to_string();
    assert_eq!(stage.look(&mut stage.client("eventual")?, read)?.value, "0");
    assert_eq!(stage.look(&mut global, read)?.value, written);
    assert_eq!(stage.look(&mut writer, read)?.value, written);
    Ok(())
}
