//! The libraries, their applications beside this file, and the pages that bear their figures.

/// A library at work.
pub(crate) struct Library {
    /// Its name for `tests/with/run`, and in the first column.
    pub(crate) name: &'static str,
    /// The page that holds its line, in docs/with.
    pub(crate) page: &'static str,
    pub(crate) program: Program,
    /// What makes the tables; tests/orm/schema.sql does where there is nothing.
    pub(crate) migrations: &'static [&'static str],
}

/// Its application, by what runs it.
pub(crate) enum Program {
    /// A file in `tests`, which is a driver of itself.
    Python(&'static str),
    /// Words of a command that tests/with/drive.py speaks to. What begins with `@` is in target/with.
    Other(&'static [&'static str]),
}

use Program::{Other, Python};

const ALEMBIC: &[&str] = &["@venv/bin/alembic", "-c", "tests/with/alembic.ini", "upgrade", "head"];

/// Debian's packages have them there.
const JARS: &str = concat!(
    "target/with/java:/usr/share/java/postgresql.jar:/usr/share/java/HikariCP.jar:/usr/share/java/slf4j-api.jar:",
    "/usr/share/java/slf4j-nop.jar:/usr/share/java/spring3-beans.jar:/usr/share/java/spring3-core.jar:",
    "/usr/share/java/spring3-jdbc.jar:/usr/share/java/spring3-transaction.jar:/usr/share/java/commons-logging.jar",
);

/// Every one, in the order of the table.
pub(crate) const LIBRARIES: &[Library] = &[
    Library {
        name: "sqlalchemy-asyncpg",
        page: "sqlalchemy.md",
        program: Python("with/sqlalchemy_asyncpg.py"),
        migrations: ALEMBIC,
    },
    Library {
        name: "sqlalchemy-psycopg",
        page: "sqlalchemy.md",
        program: Python("with/sqlalchemy_psycopg.py"),
        migrations: ALEMBIC,
    },
    Library {
        name: "fastapi",
        page: "fastapi.md",
        program: Python("orm/fastapi_app.py"),
        migrations: ALEMBIC,
    },
    Library {
        name: "django",
        page: "django.md",
        program: Python("orm/django_app.py"),
        migrations: &["@venv/bin/python", "tests/with/django_migrate.py"],
    },
    Library {
        name: "postgrest",
        page: "postgrest.md",
        program: Python("with/postgrest.py"),
        migrations: &[],
    },
    Library {
        name: "node-postgres",
        page: "node-postgres.md",
        program: Other(&["node", "@node/node-postgres.mjs"]),
        migrations: &[],
    },
    Library {
        name: "drizzle",
        page: "drizzle.md",
        program: Other(&["node", "@node/drizzle.mjs"]),
        migrations: &["@node/node_modules/.bin/drizzle-kit", "migrate", "--config", "drizzle.config.mjs"],
    },
    Library {
        name: "typeorm",
        page: "typeorm.md",
        program: Other(&["node", "@node/typeorm.mjs"]),
        migrations: &["@node/node_modules/.bin/typeorm", "migration:run", "-d", "entities.mjs"],
    },
    Library {
        name: "prisma",
        page: "prisma.md",
        program: Other(&["node", "@node/prisma.mjs"]),
        migrations: &[],
    },
    Library {
        name: "tokio-postgres",
        page: "rust.md",
        program: Other(&["@rust/debug/with-tokio-postgres"]),
        migrations: &[],
    },
    Library { name: "sqlx", page: "rust.md", program: Other(&["@rust/debug/with-sqlx"]), migrations: &[] },
    Library {
        name: "jdbc",
        page: "jdbc.md",
        program: Other(&["java", "-cp", JARS, "Blog"]),
        migrations: &[],
    },
    Library { name: "pgx", page: "go.md", program: Other(&["@go/with-pgx"]), migrations: &[] },
    Library { name: "database-sql", page: "go.md", program: Other(&["@go/with-sql"]), migrations: &[] },
    Library {
        name: "rails",
        page: "rails.md",
        program: Other(&["ruby", "tests/with/rails.rb"]),
        migrations: &["ruby", "tests/with/rails.rb", "migrate"],
    },
];
