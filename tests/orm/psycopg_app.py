"""A program in plain SQL on psycopg, which begins a transaction by itself before the first statement."""

import os
import threading
from typing import Any

import psycopg
from psycopg.rows import dict_row

import users

Connection = psycopg.Connection[dict[str, Any]]


class Local(threading.local):
    """What each thread has of its own."""

    connection: Connection | None = None


local = Local()

ARTICLES = "SELECT id, author_id, title, version FROM articles"


def connection() -> Connection:
    if local.connection is None:
        local.connection = psycopg.connect(os.environ["DATABASE_URL"], row_factory=dict_row)
    return local.connection


def one(sql: str, *values: object) -> dict[str, Any]:
    row = connection().execute(sql, values).fetchone()
    assert row is not None
    return row


def all_of(sql: str, *values: object) -> list[dict[str, Any]]:
    return connection().execute(sql, values).fetchall()


def shown(rows: list[dict[str, Any]]) -> list[users.Article]:
    return [{"id": row["id"], "version": row["version"]} for row in rows]


def with_comments(row: dict[str, Any]) -> users.Article:
    count = one("SELECT count(*) FROM comments WHERE article_id = %s", row["id"])["count"]
    return {"id": row["id"], "version": row["version"], "comments": count}


def article(step: users.Step) -> list[users.Article]:
    return [with_comments(one(f"{ARTICLES} WHERE id = %s", step.article))]


def page(step: users.Step) -> list[users.Article]:
    assert one("SELECT count(*) FROM articles")["count"] == users.ARTICLES
    return shown(all_of(f"{ARTICLES} ORDER BY id LIMIT %s OFFSET %s", users.PAGE, step.offset))


def author(step: users.Step) -> list[users.Article]:
    found = one("SELECT id, name FROM authors WHERE id = %s", step.author)
    return shown(all_of(f"{ARTICLES} WHERE author_id = %s", found["id"]))


def summary(_: users.Step) -> list[users.Article]:
    by_author = "SELECT author_id, count(*), max(version) FROM articles GROUP BY author_id"
    assert len(all_of(by_author)) == users.AUTHORS
    one("SELECT count(*), avg(length(body)) FROM comments")
    return []


def feed(_: users.Step) -> list[users.Article]:
    with connection().cursor("feed") as cursor:
        return shown(list(cursor.execute(f"{ARTICLES} ORDER BY id DESC LIMIT 40")))


def edit(step: users.Step) -> list[users.Article]:
    found = one(f"{ARTICLES} WHERE id = %s", step.article)
    version = found["version"] + 1
    connection().execute("UPDATE articles SET version = %s WHERE id = %s", (version, step.article))
    return [{"id": step.article, "version": version}]


def comment(step: users.Step) -> list[users.Article]:
    found = one(f"{ARTICLES} WHERE id = %s", step.article)
    insert = "INSERT INTO comments (article_id, body) VALUES (%s, 'one more')"
    connection().execute(insert, (step.article,))
    return [with_comments(found)]


REQUESTS = {f.__name__: f for f in (article, page, author, summary, feed, edit, comment)}


def request(step: users.Step) -> list[users.Article]:
    try:
        answer = REQUESTS[step.kind](step)
        connection().commit()
        return answer
    except Exception:
        connection().rollback()
        raise


users.in_threads(request)
