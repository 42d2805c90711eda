// Drizzle's tables: for the application, and for drizzle-kit, which makes migrations of them.
import { relations } from 'drizzle-orm'
import { bigint, index, integer, pgTable, text } from 'drizzle-orm/pg-core'

export const authors = pgTable('authors', { id: integer().primaryKey(), name: text().notNull() })

export const articles = pgTable(
  'articles',
  {
    id: integer().primaryKey(),
    author_id: integer().notNull().references(() => authors.id),
    title: text().notNull(),
    version: integer().notNull(),
  },
  (table) => [index().on(table.author_id)],
)

export const comments = pgTable(
  'comments',
  {
    id: bigint({ mode: 'number' }).primaryKey().generatedByDefaultAsIdentity(),
    article_id: integer().notNull().references(() => articles.id),
    body: text().notNull(),
  },
  (table) => [index().on(table.article_id)],
)

export const authorsRelations = relations(authors, ({ many }) => ({ articles: many(articles) }))
export const articlesRelations = relations(articles, ({ one, many }) => ({
  author: one(authors, { fields: [articles.author_id], references: [authors.id] }),
  comments: many(comments),
}))
export const commentsRelations = relations(comments, ({ one }) => ({
  article: one(articles, { fields: [comments.article_id], references: [articles.id] }),
}))
