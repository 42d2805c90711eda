# Active Record without the rest of Rails: models with relations, transactions, plain SQL; `migrate` makes the tables.
require 'active_record'
require 'json'

ActiveRecord::Base.establish_connection(url: ENV.fetch('DATABASE_URL'), pool: 12)

class Tables < ActiveRecord::Migration[6.1]
  def change
    create_table(:authors, id: :integer) { |t| t.text :name, null: false }
    create_table(:articles, id: :integer) do |t|
      t.references :author, type: :integer, null: false, foreign_key: true
      t.text :title, null: false
      t.integer :version, null: false
    end
    create_table(:comments) do |t|
      t.references :article, type: :integer, null: false, foreign_key: true
      t.text :body, null: false
    end
  end
end

if ARGV.first == 'migrate'
  ActiveRecord::Migration.verbose = false
  ActiveRecord::SchemaMigration.create_table
  ActiveRecord::InternalMetadata.create_table
  migrations = [ActiveRecord::MigrationProxy.new('Tables', 1, __FILE__, '')]
  migrations.first.define_singleton_method(:migration) { Tables.new('Tables', 1) }
  ActiveRecord::Migrator.new(:up, migrations, ActiveRecord::SchemaMigration).migrate
  exit
end

class Author < ActiveRecord::Base
  has_many :articles
end

class Article < ActiveRecord::Base
  belongs_to :author
  has_many :comments
end

class Comment < ActiveRecord::Base
  belongs_to :article
end

ARTICLES = 480
AUTHORS = 48
PAGE = 20

def check(right)
  raise 'an answer is not what it must be' unless right
end

def shown(articles, comments: false)
  articles.map do |article|
    answer = { id: article.id, version: article.version }
    comments ? answer.merge(comments: article.comments.to_a.size) : answer
  end
end

def article(step)
  shown([Article.includes(:comments).find(step['article'])], comments: true)
end

def page(step)
  check(Article.count == ARTICLES)
  rows = Article.includes(:author, :comments).order(:id).limit(PAGE).offset(step['offset'])
  shown(rows, comments: true)
end

def author(step)
  shown(Author.find(step['author']).articles)
end

def summary(_)
  check(Article.group(:author_id).maximum(:version).size == AUTHORS)
  []
end

def feed(_)
  shown(Article.where('id > ?', ARTICLES - 40).find_each(batch_size: 10).to_a)
end

def raw(step)
  query = Article.sanitize_sql(['SELECT id, version FROM articles WHERE author_id = ?', step['author']])
  ActiveRecord::Base.connection.select_all(query).to_a
end

def report(step)
  Article.transaction do
    Comment.count
    shown(Article.where(author_id: step['author']).to_a)
  end
end

def edit(step)
  Article.transaction do
    found = Article.find(step['article'])
    found.update!(version: found.version + 1)
  end
  shown([Article.find(step['article'])])
end

def comment(step)
  Comment.create!(article_id: step['article'], body: 'one more')
  article(step)
end

KINDS = %w[article page author summary feed raw report edit comment].freeze

$stdout.sync = true
writing = Mutex.new
threads = $stdin.each_line.map do |line|
  Thread.new do
    step = JSON.parse(line)
    answer =
      begin
        check(KINDS.include?(step['kind']))
        articles = ActiveRecord::Base.connection_pool.with_connection { send(step['kind'], step) }
        { n: step['n'], articles: articles }
      rescue StandardError => e
        { n: step['n'], error: "#{step['kind']}: #{e.class}: #{e.message}" }
      end
    writing.synchronize { puts JSON.generate(answer) }
  end
end
threads.each(&:join)
