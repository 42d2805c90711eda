"""Indexes on what is looked up."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("ix_articles_author_id", "articles", ["author_id"])
    op.create_index("ix_comments_article_id", "comments", ["article_id"])


def downgrade() -> None:
    op.drop_index("ix_comments_article_id")
    op.drop_index("ix_articles_author_id")
