"""What `alembic init` writes, without its logging: the database is the one that the application has."""

import os
import sys
from pathlib import Path

from alembic import context
from sqlalchemy import create_engine, pool

sys.path.insert(0, str(Path(__file__).parent.parent))
import blog  # noqa: E402

url = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=blog.Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
