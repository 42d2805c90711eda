"""SQLAlchemy on psycopg, in threads: sessions, relationships, a cursor on the server and plain SQL."""

import os

import users
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.orm import Session, joinedload, selectinload, sessionmaker

import mix
from blog import Article, Author, Comment

engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"))
sessions = sessionmaker(engine)
reporting = sessionmaker(engine.execution_options(postgresql_readonly=True))


def shown(article: Article, comments: int | None = None) -> users.Article:
    answer: users.Article = {"id": article.id, "version": article.version}
    if comments is not None:
        answer["comments"] = comments
    return answer


def article(session: Session, step: users.Step) -> list[users.Article]:
    found = session.get_one(Article, step.article, options=[selectinload(Article.comments)])
    return [shown(found, len(found.comments))]


def page(session: Session, step: users.Step) -> list[users.Article]:
    assert session.scalar(select(func.count()).select_from(Article)) == users.ARTICLES
    query = select(Article).options(joinedload(Article.author), selectinload(Article.comments))
    rows = session.scalars(query.order_by(Article.id).limit(users.PAGE).offset(step.offset))
    return [shown(row, len(row.comments)) for row in rows]


def author(session: Session, step: users.Step) -> list[users.Article]:
    return [shown(row) for row in session.get_one(Author, step.author).articles]


def summary(session: Session, _: users.Step) -> list[users.Article]:
    by_author = select(Article.author_id, func.count(), func.max(Article.version)).group_by(Article.author_id)
    assert len(session.execute(by_author).all()) == users.AUTHORS
    return []


def feed(session: Session, _: users.Step) -> list[users.Article]:
    newest = select(Article).order_by(Article.id.desc()).limit(40)
    return [shown(row) for row in session.scalars(newest.execution_options(yield_per=10))]


def raw(session: Session, step: users.Step) -> list[users.Article]:
    query = text("SELECT id, version FROM articles WHERE author_id = :author ORDER BY id")
    return [{"id": id, "version": version} for id, version in session.execute(query, {"author": step.author})]


def report(_: Session, step: users.Step) -> list[users.Article]:
    with reporting() as session:
        session.scalar(select(func.count()).select_from(Comment))
        return author(session, step)


def edit(session: Session, step: users.Step) -> list[users.Article]:
    found = session.get_one(Article, step.article)
    found.version += 1
    found.title = f"article {step.article}, version {found.version}"
    session.commit()
    return [shown(found)]


def comment(session: Session, step: users.Step) -> list[users.Article]:
    session.add(Comment(article_id=step.article, body="one more"))
    session.commit()
    return article(session, step)


REQUESTS = {f.__name__: f for f in (article, page, author, summary, feed, raw, report, edit, comment)}


def request(step: users.Step) -> list[users.Article]:
    with sessions() as session:
        return REQUESTS[step.kind](session, step)


users.in_threads(request, mix.MIX)
