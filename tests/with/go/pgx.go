// pgx with its pool, which prepares and caches statements by itself.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var ctx = context.Background()

type querier interface {
	Query(context.Context, string, ...interface{}) (pgx.Rows, error)
}

func articles(q querier, sql string, values ...interface{}) ([]article, error) {
	rows, err := q.Query(ctx, sql, values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []article
	for rows.Next() {
		var one article
		into := []interface{}{&one.ID, &one.Version, &one.Comments}
		if err := rows.Scan(into[:len(rows.FieldDescriptions())]...); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}

func one(pool *pgxpool.Pool, asked step) ([]article, error) {
	return articles(pool, withComments+" WHERE a.id = $1 GROUP BY a.id", asked.Article)
}

func edit(pool *pgxpool.Pool, asked step) ([]article, error) {
	err := pool.BeginFunc(ctx, func(tx pgx.Tx) error {
		var version int
		if err := tx.QueryRow(ctx, "SELECT version FROM articles WHERE id = $1", asked.Article).Scan(&version); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE articles SET version = $1 WHERE id = $2", version+1, asked.Article)
		return err
	})
	if err != nil {
		return nil, err
	}
	return articles(pool, "SELECT id, version FROM articles WHERE id = $1", asked.Article)
}

func report(pool *pgxpool.Pool, asked step) (found []article, err error) {
	err = pool.BeginTxFunc(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var count int
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM comments").Scan(&count); err != nil {
			return err
		}
		found, err = articles(tx, "SELECT id, version FROM articles WHERE author_id = $1", asked.Author)
		return err
	})
	return found, err
}

func main() {
	pool, err := pgxpool.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	serve(func(asked step) ([]article, error) {
		switch asked.Kind {
		case "article":
			return one(pool, asked)
		case "page":
			var count int
			if err := pool.QueryRow(ctx, "SELECT count(*) FROM articles").Scan(&count); err != nil {
				return nil, err
			}
			return articles(pool, withComments+" GROUP BY a.id ORDER BY a.id LIMIT 20 OFFSET $1", asked.Offset)
		case "author":
			return articles(pool, "SELECT r.id, r.version FROM authors a JOIN articles r ON r.author_id = a.id WHERE a.id = $1", asked.Author)
		case "summary":
			_, err := articles(pool, "SELECT count(*)::int, max(version) FROM articles GROUP BY author_id")
			return nil, err
		case "feed":
			return articles(pool, "SELECT id, version FROM articles ORDER BY id DESC LIMIT 40")
		case "raw":
			return articles(pool, fmt.Sprint("SELECT id, version FROM articles WHERE author_id = ", asked.Author), pgx.QuerySimpleProtocol(true))
		case "report":
			return report(pool, asked)
		case "edit":
			return edit(pool, asked)
		}
		if _, err := pool.Exec(ctx, "INSERT INTO comments (article_id, body) VALUES ($1, 'one more')", asked.Article); err != nil {
			return nil, err
		}
		return one(pool, asked)
	})
}
