"""`django-admin migrate` and, with an argument, other commands of it, through DATABASE_URL."""

import os
import sys
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command

url = urlsplit(os.environ.get("DATABASE_URL", "postgresql:///none"))
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django_blog"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path[1:],
            "USER": url.username,
            "PASSWORD": url.password,
            "HOST": url.hostname,
            "PORT": url.port,
        }
    },
)
django.setup()
call_command(*sys.argv[1:] or ["migrate"], verbosity=0)
