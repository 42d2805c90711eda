"""What PostgREST sends, by psycopg: a transaction for each request, settings for it, one statement, the end.

PostgREST itself is not here; this is its documentation's account ("Transactions"), with the statements of its source.
"""

import json
import os
import threading
from typing import Any

import psycopg
import users

import mix

local = threading.local()

SETTINGS = (
    "SELECT set_config('search_path', 'public', true), set_config('role', 'app', true), "
    "set_config('request.jwt.claims', %s, true), set_config('request.method', %s, true), "
    "set_config('request.path', %s, true), set_config('request.headers', '{}', true)"
)
ANSWER = (
    "WITH pgrst_source AS ({source}) "
    "SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, "
    "coalesce(json_agg(_postgrest_t), '[]') AS body, "
    "nullif(current_setting('response.headers', true), '') AS response_headers, "
    "nullif(current_setting('response.status', true), '') AS response_status "
    "FROM (SELECT * FROM pgrst_source) _postgrest_t"
)
COLUMNS = '"public"."articles"."id", "public"."articles"."version"'
COMMENTS = (
    'SELECT {columns}, coalesce("c"."comments", 0) AS comments FROM "public"."articles" LEFT JOIN LATERAL '
    '(SELECT count(*) AS comments FROM "public"."comments" WHERE "comments"."article_id" = "articles"."id") AS "c" ON TRUE'
).format(columns=COLUMNS)


def ask(method: str, path: str, source: str, *values: object) -> list[users.Article]:
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection = local.connection
    mode = "READ ONLY" if method == "GET" else "READ WRITE"
    connection.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED {mode}")
    try:
        connection.execute(SETTINGS, (json.dumps({"role": "app"}), method, path))
        row: Any = connection.execute(ANSWER.format(source=source), values).fetchone()
        connection.execute("COMMIT")
    except Exception:
        connection.execute("ROLLBACK")
        raise
    articles: list[users.Article] = row[2]
    return articles


def request(step: users.Step) -> list[users.Article]:
    if step.kind == "edit":
        [found] = ask("GET", "/articles", f'SELECT {COLUMNS} FROM "public"."articles" WHERE id = %s', step.article)
        update = 'UPDATE "public"."articles" SET "version" = %s WHERE id = %s RETURNING ' + COLUMNS
        return ask("PATCH", "/articles", update, found["version"] + 1, step.article)
    if step.kind == "comment":
        insert = "INSERT INTO \"public\".\"comments\" (article_id, body) VALUES (%s, 'one more') RETURNING id"
        ask("POST", "/comments", insert, step.article)
    if step.kind in ("article", "comment"):
        return ask("GET", "/articles", COMMENTS + " WHERE id = %s", step.article)
    if step.kind == "page":
        return ask("GET", "/articles", f"{COMMENTS} ORDER BY id LIMIT {users.PAGE} OFFSET %s", step.offset)
    if step.kind in ("feed", "summary"):
        return ask("GET", "/articles", f'SELECT {COLUMNS} FROM "public"."articles" ORDER BY id DESC LIMIT 40')
    return ask("GET", "/articles", f'SELECT {COLUMNS} FROM "public"."articles" WHERE author_id = %s', step.author)


users.in_threads(request, mix.MIX)
