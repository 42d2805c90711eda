//! sqlx: its pool, prepared statements, a stream, transactions and plain SQL.

use std::env;
use std::error::Error;

use futures_util::TryStreamExt;
use lines::{ARTICLES, AUTHORS, Answer, Article, PAGE, Step};
use sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Row};

const ARTICLE: &str = "SELECT a.id, a.version, count(c.id) AS comments
    FROM articles a LEFT JOIN comments c ON c.article_id = a.id WHERE a.id = $1 GROUP BY a.id";
const LIST: &str = "SELECT a.id, a.version, count(c.id) AS comments
    FROM articles a LEFT JOIN comments c ON c.article_id = a.id GROUP BY a.id ORDER BY a.id LIMIT $1 OFFSET $2";

fn plain(row: &PgRow) -> Article {
    Article { id: row.get("id"), version: row.get("version"), comments: None }
}

fn with_comments(row: &PgRow) -> Article {
    Article { comments: Some(row.get("comments")), ..plain(row) }
}

async fn article(pool: &PgPool, step: &Step) -> Answer {
    Ok(vec![with_comments(&sqlx::query(ARTICLE).bind(step.article).fetch_one(pool).await?)])
}

async fn page(pool: &PgPool, step: &Step) -> Answer {
    let total: i64 = sqlx::query_scalar("SELECT count(*) FROM articles").fetch_one(pool).await?;
    assert_eq!(total, ARTICLES);
    let rows = sqlx::query(LIST).bind(PAGE).bind(step.offset).fetch_all(pool).await?;
    Ok(rows.iter().map(with_comments).collect())
}

async fn author(pool: &PgPool, step: &Step) -> Answer {
    let query = "SELECT r.* FROM authors a JOIN articles r ON r.author_id = a.id WHERE a.id = $1";
    Ok(sqlx::query(query).bind(step.author).fetch_all(pool).await?.iter().map(plain).collect())
}

async fn summary(pool: &PgPool) -> Answer {
    let query = "SELECT author_id, count(*), max(version) FROM articles GROUP BY author_id";
    assert_eq!(sqlx::query(query).fetch_all(pool).await?.len(), AUTHORS);
    Ok(Vec::new())
}

async fn feed(pool: &PgPool) -> Answer {
    let mut rows = sqlx::query("SELECT id, version FROM articles ORDER BY id DESC LIMIT 40").fetch(pool);
    let mut articles = Vec::new();
    while let Some(row) = rows.try_next().await? {
        articles.push(plain(&row));
    }
    Ok(articles)
}

async fn raw(pool: &PgPool, step: &Step) -> Answer {
    let query = format!("SELECT id, version FROM articles WHERE author_id = {}", step.author);
    Ok(sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(pool).await?.iter().map(plain).collect())
}

async fn report(pool: &PgPool, step: &Step) -> Answer {
    let mut transaction = pool.begin_with("BEGIN READ ONLY").await?;
    sqlx::query("SELECT count(*) FROM comments").fetch_one(&mut *transaction).await?;
    let query = "SELECT id, version FROM articles WHERE author_id = $1";
    let rows = sqlx::query(query).bind(step.author).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(rows.iter().map(plain).collect())
}

async fn edit(pool: &PgPool, step: &Step) -> Answer {
    let query = "SELECT id, version FROM articles WHERE id = $1";
    let mut transaction = pool.begin().await?;
    let version: i32 =
        sqlx::query(query).bind(step.article).fetch_one(&mut *transaction).await?.get("version");
    let update = sqlx::query("UPDATE articles SET version = $1 WHERE id = $2").bind(version + 1);
    update.bind(step.article).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(sqlx::query(query).bind(step.article).fetch_all(pool).await?.iter().map(plain).collect())
}

async fn comment(pool: &PgPool, step: &Step) -> Answer {
    let insert = "INSERT INTO comments (article_id, body) VALUES ($1, 'one more')";
    sqlx::query(insert).bind(step.article).execute(pool).await?;
    article(pool, step).await
}

async fn request(pool: PgPool, step: Step) -> Answer {
    match step.kind.as_str() {
        "article" => article(&pool, &step).await,
        "page" => page(&pool, &step).await,
        "author" => author(&pool, &step).await,
        "summary" => summary(&pool).await,
        "feed" => feed(&pool).await,
        "raw" => raw(&pool, &step).await,
        "report" => report(&pool, &step).await,
        "edit" => edit(&pool, &step).await,
        _ => comment(&pool, &step).await,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let pool = PgPoolOptions::new().connect(&env::var("DATABASE_URL")?).await?;
    lines::serve(|step| request(pool.clone(), step)).await
}
