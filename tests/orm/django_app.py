"""A Django application on psycopg with ATOMIC_REQUESTS: a transaction around every view."""

import os
from urllib.parse import urlsplit

import django
import httpx
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import models
from django.http import HttpRequest, JsonResponse
from django.urls import path

import users

url = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    ALLOWED_HOSTS=["app"],
    ROOT_URLCONF=__name__,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path[1:],
            "USER": url.username,
            "PASSWORD": url.password,
            "HOST": url.hostname,
            "PORT": url.port,
            "ATOMIC_REQUESTS": True,
            # A connection per thread. Without it Django logs in for every request, which measures nothing else.
            "CONN_MAX_AGE": None,
        }
    },
)
django.setup()


class Author(models.Model):
    name = models.TextField()

    class Meta:
        app_label, db_table = "blog", "authors"


class Article(models.Model):
    author = models.ForeignKey(Author, models.CASCADE)
    title = models.TextField()
    version = models.IntegerField()

    class Meta:
        app_label, db_table = "blog", "articles"


class Comment(models.Model):
    article = models.ForeignKey(Article, models.CASCADE)
    body = models.TextField()

    class Meta:
        app_label, db_table = "blog", "comments"


def answer(articles: list[Article], *, comments: bool = False) -> JsonResponse:
    shown: list[users.Article] = []
    for article in articles:
        shown.append({"id": article.pk, "version": article.version})
        if comments:
            shown[-1]["comments"] = len(article.comment_set.all())
    return JsonResponse({"articles": shown})


def article(request: HttpRequest, number: int) -> JsonResponse:
    if request.method == "PUT":
        found = Article.objects.get(pk=number)
        found.version += 1
        found.title = f"article {number}, version {found.version}"
        found.save()
        return answer([found])
    return answer([Article.objects.prefetch_related("comment_set").get(pk=number)], comments=True)


def page(request: HttpRequest) -> JsonResponse:
    limit, offset = int(request.GET["limit"]), int(request.GET["offset"])
    assert Article.objects.count() == users.ARTICLES
    rows = Article.objects.select_related("author").prefetch_related("comment_set").order_by("pk")
    return answer(list(rows[offset : offset + limit]), comments=True)


def author(_: HttpRequest, number: int) -> JsonResponse:
    return answer(list(Author.objects.get(pk=number).article_set.all()))


def summary(_: HttpRequest) -> JsonResponse:
    by_author = Article.objects.values("author_id").annotate(models.Count("id"), models.Max("version"))
    assert len(by_author) == users.AUTHORS
    Comment.objects.aggregate(models.Count("id"), models.Max("id"))
    return answer([])


def feed(_: HttpRequest) -> JsonResponse:
    """A cursor on the server, as for results that are too long for memory."""
    return answer(list(Article.objects.order_by("-pk")[:40].iterator(chunk_size=50)))


def comment(_: HttpRequest, number: int) -> JsonResponse:
    found = Article.objects.get(pk=number)
    Comment.objects.create(article=found, body="one more")
    return answer([found], comments=True)


urlpatterns = [
    path("articles", page),
    path("articles/<int:number>", article),
    path("articles/<int:number>/comments", comment),
    path("authors/<int:number>", author),
    path("summary", summary),
    path("feed", feed),
]

transport = httpx.WSGITransport(WSGIHandler())
client = httpx.Client(transport=transport, base_url="http://app")


def request(step: users.Step) -> list[users.Article]:
    articles: list[users.Article] = client.request(*step.http()).raise_for_status().json()["articles"]
    return articles


users.in_threads(request)
