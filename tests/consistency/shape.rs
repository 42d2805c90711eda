//! What is written and read: tables of many shapes, each holding a version for every id.
//!
//! In a statement `{id}` and `{v}` stand for the id and the version, and `{path}` for a table that some sessions find
//! by their search path. Every write leaves a greater version alone: so a write that was given up, and comes through
//! after a later one, makes no version go back.

/// A way to keep versions.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) tables: &'static str,
    /// Version 0 of an id.
    pub(crate) begin: &'static str,
    /// What is run before a write, and changes no version.
    pub(crate) first: Option<&'static str>,
    pub(crate) writes: &'static [&'static str],
    /// The table that versions are copied to with COPY, where that is the way.
    pub(crate) copy: Option<&'static str>,
    /// Each yields one row with a column `v`.
    pub(crate) reads: &'static [&'static str],
    /// The first major version of PostgreSQL that has all this.
    pub(crate) since: u32,
    pub(crate) reach: Reach,
}

/// What a write may have changed, as far as can be told from the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Certain tables.
    Tables,
    /// Anything: code of the database's own is involved.
    Anything,
}

/// What the others have in common.
const PLAIN: Shape = Shape {
    name: "plain",
    tables: "CREATE TABLE plain (id int PRIMARY KEY, v bigint NOT NULL);
        CREATE VIEW over_plain AS SELECT id, v FROM plain;
        CREATE FUNCTION version_of(int) RETURNS bigint STABLE LANGUAGE sql AS 'SELECT v FROM plain WHERE id = $1'",
    begin: "INSERT INTO plain VALUES ({id}, 0)",
    first: None,
    writes: &[
        "UPDATE plain SET v = {v} WHERE id = {id} AND v < {v}",
        "WITH w AS (UPDATE plain SET v = {v} WHERE id = {id} AND v < {v} RETURNING v) SELECT v FROM w",
        "UPDATE ONLY public.plain AS p SET v = n.v FROM (SELECT {v} AS v) AS n WHERE p.id = {id} AND p.v < n.v",
    ],
    copy: None,
    reads: &[
        "SELECT v FROM plain WHERE id = {id}",
        "SELECT p.v FROM public.plain AS p JOIN plain AS q USING (id) WHERE p.id = {id}",
        "SELECT v FROM over_plain WHERE id = {id}",
        "SELECT version_of({id}) AS v",
    ],
    since: 14,
    reach: Reach::Tables,
};

pub(crate) const SHAPES: &[Shape] = &[
    PLAIN,
    Shape {
        name: "upsert",
        tables: "CREATE TABLE upserted (id int PRIMARY KEY, v bigint NOT NULL)",
        begin: "INSERT INTO upserted VALUES ({id}, 0)",
        writes: &["INSERT INTO upserted VALUES ({id}, {v}) ON CONFLICT (id)
            DO UPDATE SET v = greatest(upserted.v, excluded.v)"],
        reads: &["SELECT v FROM upserted WHERE id = {id}"],
        ..PLAIN
    },
    Shape {
        name: "merge",
        tables: "CREATE TABLE merged (id int PRIMARY KEY, v bigint NOT NULL)",
        begin: "INSERT INTO merged VALUES ({id}, 0)",
        writes: &["MERGE INTO merged AS m USING (SELECT {id} AS id, {v} AS v) AS n ON m.id = n.id
            WHEN MATCHED AND m.v < n.v THEN UPDATE SET v = n.v"],
        reads: &["SELECT v FROM merged WHERE id = {id}"],
        since: 15,
        ..PLAIN
    },
    Shape {
        name: "copy",
        tables: "CREATE TABLE copied (id int, v bigint); CREATE INDEX ON copied (id, v)",
        begin: "INSERT INTO copied VALUES ({id}, 0)",
        writes: &["INSERT INTO copied SELECT {id}, {v}"],
        copy: Some("copied"),
        reads: &["SELECT max(v) AS v FROM copied WHERE id = {id}"],
        ..PLAIN
    },
    Shape {
        name: "trigger",
        tables: "CREATE TABLE journal (id int, v bigint); CREATE TABLE shadow (id int PRIMARY KEY, v bigint NOT NULL);
            CREATE FUNCTION cast_shadow() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN UPDATE shadow SET v = greatest(v, NEW.v) WHERE id = NEW.id; RETURN NEW; END';
            CREATE TRIGGER cast_shadow AFTER INSERT ON journal FOR EACH ROW EXECUTE FUNCTION cast_shadow()",
        begin: "INSERT INTO shadow VALUES ({id}, 0)",
        writes: &["INSERT INTO journal VALUES ({id}, {v})"],
        copy: Some("journal"),
        reads: &["SELECT v FROM shadow WHERE id = {id}"],
        reach: Reach::Anything,
        ..PLAIN
    },
    Shape {
        name: "rule",
        tables: "CREATE TABLE ruled (id int, v bigint); CREATE TABLE follows (id int PRIMARY KEY, v bigint NOT NULL);
            CREATE RULE follow AS ON INSERT TO ruled
                DO ALSO UPDATE follows SET v = greatest(v, NEW.v) WHERE id = NEW.id",
        begin: "INSERT INTO follows VALUES ({id}, 0)",
        writes: &["INSERT INTO ruled VALUES ({id}, {v})"],
        reads: &["SELECT v FROM follows WHERE id = {id}"],
        reach: Reach::Anything,
        ..PLAIN
    },
    Shape {
        name: "view",
        tables: "CREATE TABLE viewed (id int PRIMARY KEY, v bigint NOT NULL);
            CREATE VIEW view_1 AS SELECT id, v FROM viewed; CREATE VIEW view_2 AS SELECT * FROM view_1",
        begin: "INSERT INTO viewed VALUES ({id}, 0)",
        writes: &[
            "UPDATE view_1 SET v = {v} WHERE id = {id} AND v < {v}",
            "UPDATE view_2 SET v = {v} WHERE id = {id} AND v < {v}",
            "UPDATE viewed SET v = {v} WHERE id = {id} AND v < {v}",
        ],
        reads: &[
            "SELECT v FROM viewed WHERE id = {id}",
            "SELECT v FROM view_1 WHERE id = {id}",
            "SELECT v FROM view_2 WHERE id = {id}",
        ],
        ..PLAIN
    },
    Shape {
        name: "partition",
        tables: "CREATE TABLE parts (id int PRIMARY KEY, v bigint NOT NULL) PARTITION BY RANGE (id);
            CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (-1) TO (0);
            CREATE TABLE part_2 PARTITION OF parts DEFAULT",
        begin: "INSERT INTO parts VALUES ({id}, 0)",
        writes: &[
            "UPDATE parts SET v = {v} WHERE id = {id} AND v < {v}",
            "UPDATE part_2 SET v = {v} WHERE id = {id} AND v < {v}",
        ],
        reads: &["SELECT v FROM parts WHERE id = {id}", "SELECT v FROM part_2 WHERE id = {id}"],
        ..PLAIN
    },
    Shape {
        name: "inheritance",
        tables: "CREATE TABLE ancestor (id int, v bigint NOT NULL); CREATE TABLE heir () INHERITS (ancestor)",
        begin: "INSERT INTO heir VALUES ({id}, 0)",
        writes: &[
            "UPDATE ancestor SET v = {v} WHERE id = {id} AND v < {v}",
            "UPDATE heir SET v = {v} WHERE id = {id} AND v < {v}",
        ],
        reads: &["SELECT v FROM ancestor WHERE id = {id}", "SELECT v FROM heir WHERE id = {id}"],
        ..PLAIN
    },
    Shape {
        name: "cascade",
        tables: "CREATE TABLE parents (id int, v bigint, PRIMARY KEY (id, v));
            CREATE TABLE children (id int, v bigint, FOREIGN KEY (id, v) REFERENCES parents ON DELETE CASCADE);
            CREATE INDEX ON children (id, v)",
        begin: "INSERT INTO parents VALUES ({id}, 0); INSERT INTO children VALUES ({id}, 0)",
        first: Some("INSERT INTO parents VALUES ({id}, {v}); INSERT INTO children VALUES ({id}, {v})"),
        writes: &["DELETE FROM parents WHERE id = {id} AND v < {v}"],
        reads: &["SELECT min(v) AS v FROM children WHERE id = {id}"],
        ..PLAIN
    },
    Shape {
        name: "search path",
        tables: "CREATE SCHEMA inner_one; CREATE TABLE inner_one.pathed (id int PRIMARY KEY, v bigint NOT NULL);
            CREATE TABLE pathed (id int PRIMARY KEY, v bigint NOT NULL)",
        begin: "INSERT INTO inner_one.pathed VALUES ({id}, 0)",
        writes: &["UPDATE {path} SET v = {v} WHERE id = {id} AND v < {v}"],
        reads: &["SELECT v FROM {path} WHERE id = {id}"],
        ..PLAIN
    },
    Shape {
        name: "quoted",
        tables: "CREATE TABLE \"Odd \"\"Name\" (id int PRIMARY KEY, \"V\" bigint NOT NULL)",
        begin: "INSERT INTO \"Odd \"\"Name\" VALUES ({id}, 0)",
        writes: &[
            "UPDATE \"Odd \"\"Name\" SET \"V\" = {v} WHERE id = {id} AND \"V\" < {v}",
            "UPDATE U&\"Odd \"\"\\004eame\" SET \"V\" = {v} WHERE id = {id} AND \"V\" < {v}",
        ],
        reads: &["SELECT \"V\" AS v FROM \"Odd \"\"Name\" WHERE id = {id}"],
        ..PLAIN
    },
    Shape {
        name: "function",
        tables: "CREATE TABLE by_function (id int PRIMARY KEY, v bigint NOT NULL);
            CREATE FUNCTION write_version(int, bigint) RETURNS void LANGUAGE sql AS
                'UPDATE by_function SET v = $2 WHERE id = $1 AND v < $2';
            CREATE PROCEDURE call_version(int, bigint) LANGUAGE sql AS
                'UPDATE by_function SET v = $2 WHERE id = $1 AND v < $2'",
        begin: "INSERT INTO by_function VALUES ({id}, 0)",
        writes: &["SELECT write_version({id}, {v})", "CALL call_version({id}, {v})"],
        reads: &["SELECT v FROM by_function WHERE id = {id}"],
        reach: Reach::Anything,
        ..PLAIN
    },
    Shape {
        name: "hidden code",
        tables: "CREATE TABLE hidden (id int PRIMARY KEY, v bigint NOT NULL);
            CREATE TYPE change AS (id int, v bigint);
            CREATE FUNCTION write_hidden(int, bigint) RETURNS bigint LANGUAGE sql AS
                'UPDATE hidden SET v = $2 WHERE id = $1 AND v < $2; SELECT $2';
            CREATE FUNCTION upper(int, bigint) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN write_hidden($1, $2); END';
            CREATE FUNCTION apply(change) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN write_hidden($1.id, $1.v); END'",
        begin: "INSERT INTO hidden VALUES ({id}, 0)",
        writes: &["SELECT upper({id}, {v})", "SELECT (ROW({id}, {v})::change).apply"],
        reads: &["SELECT v FROM hidden WHERE id = {id}"],
        reach: Reach::Anything,
        ..PLAIN
    },
];

/// The name of the server that answers: a read that asks for it tells where it ran, and is routed as without it.
pub(crate) const HERE: &str = "CREATE VIEW here AS SELECT current_setting('harness.server') AS server";

/// What a place in a statement is filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fill {
    /// The values themselves.
    Literals(usize, u64),
    /// Parameters: `$1` is the id, `$2` the version.
    Parameters,
}

/// Whether a session has a search path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Default,
    Inner,
}

/// A statement for a session.
pub(crate) fn fill(template: &str, with: Fill, path: Path) -> String {
    let table = match path {
        Path::Default => "inner_one.pathed",
        Path::Inner => "pathed",
    };
    let (id, version) = match with {
        Fill::Literals(id, version) => (id.to_string(), version.to_string()),
        Fill::Parameters => ("$1::int".to_owned(), "$2::bigint".to_owned()),
    };
    template.replace("{id}", &id).replace("{v}", &version).replace("{path}", table)
}
