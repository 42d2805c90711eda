"""The same tables as those of tests/orm/django_app.py, which is in one file and so has no migrations."""

from django.db import models


class Author(models.Model):
    id = models.IntegerField(primary_key=True)
    name = models.TextField()

    class Meta:
        db_table = "authors"


class Article(models.Model):
    id = models.IntegerField(primary_key=True)
    author = models.ForeignKey(Author, models.CASCADE)
    title = models.TextField()
    version = models.IntegerField()

    class Meta:
        db_table = "articles"


class Comment(models.Model):
    id = models.BigAutoField(primary_key=True)
    article = models.ForeignKey(Article, models.CASCADE)
    body = models.TextField()

    class Meta:
        db_table = "comments"
