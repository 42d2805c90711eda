//! tokio-postgres with a pool of deadpool's: prepared statements, a stream, transactions.

use std::env;
use std::error::Error;
use std::pin::pin;

use deadpool_postgres::{Config, Object, Pool, Runtime};
use futures_util::TryStreamExt;
use lines::{ARTICLES, AUTHORS, Answer, Article, PAGE, Step};
use tokio_postgres::{NoTls, Row};

const WITH_COMMENTS: &str = "SELECT a.id, a.version, count(c.id) AS comments
    FROM articles a LEFT JOIN comments c ON c.article_id = a.id";

fn plain(row: &Row) -> Article {
    Article { id: row.get("id"), version: row.get("version"), comments: None }
}

fn with_comments(row: &Row) -> Article {
    Article { comments: Some(row.get("comments")), ..plain(row) }
}

async fn article(client: &Object, step: &Step) -> Answer {
    let query = client.prepare_cached(&format!("{WITH_COMMENTS} WHERE a.id = $1 GROUP BY a.id")).await?;
    Ok(vec![with_comments(&client.query_one(&query, &[&step.article]).await?)])
}

async fn page(client: &Object, step: &Step) -> Answer {
    let total: i64 = client.query_one("SELECT count(*) FROM articles", &[]).await?.get(0);
    assert_eq!(total, ARTICLES);
    let query = format!("{WITH_COMMENTS} GROUP BY a.id ORDER BY a.id LIMIT $1 OFFSET $2");
    Ok(client.query(&query, &[&PAGE, &step.offset]).await?.iter().map(with_comments).collect())
}

async fn author(client: &Object, step: &Step) -> Answer {
    let query = client
        .prepare_cached("SELECT r.* FROM authors a JOIN articles r ON r.author_id = a.id WHERE a.id = $1")
        .await?;
    Ok(client.query(&query, &[&step.author]).await?.iter().map(plain).collect())
}

async fn summary(client: &Object) -> Answer {
    let query = "SELECT author_id, count(*), max(version) FROM articles GROUP BY author_id";
    assert_eq!(client.query(query, &[]).await?.len(), AUTHORS);
    Ok(Vec::new())
}

async fn feed(client: &Object) -> Answer {
    let none: [i32; 0] = [];
    let rows = client.query_raw("SELECT id, version FROM articles ORDER BY id DESC LIMIT 40", none).await?;
    let mut rows = pin!(rows);
    let mut articles = Vec::new();
    while let Some(row) = rows.try_next().await? {
        articles.push(plain(&row));
    }
    Ok(articles)
}

async fn raw(client: &Object, step: &Step) -> Answer {
    let query = format!("SELECT id, version FROM articles WHERE author_id = {}", step.author);
    let rows = client.simple_query(&query).await?;
    let rows = rows.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((row.get("id")?.parse(), row.get("version")?.parse()))
        }
        _ => None,
    });
    rows.map(|(id, version)| Ok(Article { id: id?, version: version?, comments: None })).collect()
}

async fn report(client: &mut Object, step: &Step) -> Answer {
    let transaction = client.build_transaction().read_only(true).start().await?;
    transaction.query_one("SELECT count(*) FROM comments", &[]).await?;
    let query = "SELECT id, version FROM articles WHERE author_id = $1";
    let rows = transaction.query(query, &[&step.author]).await?;
    transaction.commit().await?;
    Ok(rows.iter().map(plain).collect())
}

async fn edit(client: &mut Object, step: &Step) -> Answer {
    let query = "SELECT id, version FROM articles WHERE id = $1";
    let transaction = client.transaction().await?;
    let version: i32 = transaction.query_one(query, &[&step.article]).await?.get("version");
    let update = "UPDATE articles SET version = $1 WHERE id = $2";
    transaction.execute(update, &[&(version + 1), &step.article]).await?;
    transaction.commit().await?;
    Ok(client.query(query, &[&step.article]).await?.iter().map(plain).collect())
}

async fn comment(client: &Object, step: &Step) -> Answer {
    let insert = "INSERT INTO comments (article_id, body) VALUES ($1, 'one more')";
    client.execute(insert, &[&step.article]).await?;
    article(client, step).await
}

async fn request(pool: Pool, step: Step) -> Answer {
    let mut client = pool.get().await?;
    match step.kind.as_str() {
        "article" => article(&client, &step).await,
        "page" => page(&client, &step).await,
        "author" => author(&client, &step).await,
        "summary" => summary(&client).await,
        "feed" => feed(&client).await,
        "raw" => raw(&client, &step).await,
        "report" => report(&mut client, &step).await,
        "edit" => edit(&mut client, &step).await,
        _ => comment(&client, &step).await,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let config = Config { url: Some(env::var("DATABASE_URL")?), ..Config::default() };
    let pool = config.create_pool(Some(Runtime::Tokio1), NoTls)?;
    lines::serve(|step| request(pool.clone(), step)).await
}
