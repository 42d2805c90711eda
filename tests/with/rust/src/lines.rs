//! Answers the lines that tests/with/drive.py asks with, all at once as they come.

use std::error::Error;
use std::future::Future;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::task::JoinSet;

pub const ARTICLES: i64 = 480;
pub const AUTHORS: usize = 48;
pub const PAGE: i64 = 20;

pub type Answer = Result<Vec<Article>, Box<dyn Error + Send + Sync>>;

/// What is asked for.
#[derive(Clone)]
pub struct Step {
    pub kind: String,
    pub article: i32,
    pub author: i32,
    pub offset: i64,
}

/// What is shown of an article.
pub struct Article {
    pub id: i32,
    pub version: i32,
    pub comments: Option<i64>,
}

/// Until there are no more lines.
pub async fn serve<F, A>(request: F) -> Result<(), Box<dyn Error + Send + Sync>>
where
    F: Fn(Step) -> A,
    A: Future<Output = Answer> + Send + 'static,
{
    let mut lines = BufReader::new(stdin()).lines();
    let mut running = JoinSet::new();
    while let Some(line) = lines.next_line().await? {
        let asked: Value = serde_json::from_str(&line)?;
        let number = |name: &str| asked[name].as_i64().unwrap_or_default();
        let step = Step {
            kind: asked["kind"].as_str().unwrap_or_default().to_owned(),
            article: number("article") as i32,
            author: number("author") as i32,
            offset: number("offset"),
        };
        let (n, answer) = (number("n"), request(step));
        running.spawn(async move { println!("{}", said(n, answer.await)) });
    }
    while running.join_next().await.is_some() {}
    Ok(())
}

fn said(n: i64, answer: Answer) -> Value {
    match answer {
        Ok(articles) => json!({"n": n, "articles": articles.iter().map(shown).collect::<Vec<_>>()}),
        Err(error) => json!({"n": n, "error": words(&*error)}),
    }
}

fn shown(article: &Article) -> Value {
    let mut shown = json!({"id": article.id, "version": article.version});
    if let Some(comments) = article.comments {
        shown["comments"] = comments.into();
    }
    shown
}

fn words(error: &(dyn Error + Send + Sync)) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
