// JDBC by HikariCP and Spring's transactions: what Hibernate and Spring Data send comes by these.

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.core.RowMapper;
import org.springframework.jdbc.datasource.DataSourceTransactionManager;
import org.springframework.transaction.support.TransactionTemplate;

public class Blog {
    static final String WITH_COMMENTS = "SELECT a.id, a.version, count(c.id) AS comments"
        + " FROM articles a LEFT JOIN comments c ON c.article_id = a.id";

    record Step(String kind, int article, int author, int offset) {}

    static final RowMapper<String> PLAIN = (row, n) ->
        String.format("{\"id\": %d, \"version\": %d}", row.getInt("id"), row.getInt("version"));
    static final RowMapper<String> COMMENTED = (row, n) ->
        String.format("{\"id\": %d, \"version\": %d, \"comments\": %d}", row.getInt("id"), row.getInt("version"), row.getLong("comments"));

    final JdbcTemplate jdbc;
    final JdbcTemplate streaming;
    /** What @Transactional does. */
    final TransactionTemplate writing;
    /** What @Transactional(readOnly = true) does. */
    final TransactionTemplate reading;

    Blog(HikariDataSource pool) {
        jdbc = new JdbcTemplate(pool);
        streaming = new JdbcTemplate(pool);
        streaming.setFetchSize(10);
        var transactions = new DataSourceTransactionManager(pool);
        writing = new TransactionTemplate(transactions);
        reading = new TransactionTemplate(transactions);
        reading.setReadOnly(true);
    }

    List<String> article(Step step) {
        return jdbc.query(WITH_COMMENTS + " WHERE a.id = ? GROUP BY a.id", COMMENTED, step.article);
    }

    List<String> page(Step step) {
        check(jdbc.queryForObject("SELECT count(*) FROM articles", Integer.class) == 480);
        return jdbc.query(WITH_COMMENTS + " GROUP BY a.id ORDER BY a.id LIMIT 20 OFFSET ?", COMMENTED, step.offset);
    }

    List<String> author(Step step) {
        return jdbc.query("SELECT r.* FROM authors a JOIN articles r ON r.author_id = a.id WHERE a.id = ?", PLAIN, step.author);
    }

    List<String> summary() {
        check(jdbc.queryForList("SELECT author_id, count(*), max(version) FROM articles GROUP BY author_id").size() == 48);
        return List.of();
    }

    /** Rows by tens: the driver does so in a transaction only. */
    List<String> feed() {
        return writing.execute(status -> streaming.query("SELECT id, version FROM articles ORDER BY id DESC LIMIT 40", PLAIN));
    }

    List<String> raw(Step step) {
        return jdbc.query("SELECT id, version FROM articles WHERE author_id = " + step.author, PLAIN);
    }

    List<String> report(Step step) {
        return reading.execute(status -> {
            jdbc.queryForObject("SELECT count(*) FROM comments", Integer.class);
            return jdbc.query("SELECT id, version FROM articles WHERE author_id = ?", PLAIN, step.author);
        });
    }

    List<String> edit(Step step) {
        writing.execute(status -> {
            int version = jdbc.queryForObject("SELECT version FROM articles WHERE id = ?", Integer.class, step.article);
            return jdbc.update("UPDATE articles SET version = ? WHERE id = ?", version + 1, step.article);
        });
        return jdbc.query("SELECT id, version FROM articles WHERE id = ?", PLAIN, step.article);
    }

    List<String> comment(Step step) {
        jdbc.update("INSERT INTO comments (article_id, body) VALUES (?, 'one more')", step.article);
        return article(step);
    }

    List<String> request(Step step) {
        return switch (step.kind) {
            case "article" -> article(step);
            case "page" -> page(step);
            case "author" -> author(step);
            case "summary" -> summary();
            case "feed" -> feed();
            case "raw" -> raw(step);
            case "report" -> report(step);
            case "edit" -> edit(step);
            default -> comment(step);
        };
    }

    static void check(boolean right) {
        if (!right) throw new IllegalStateException("an answer is not what it must be");
    }

    static int number(String line, String name) {
        Matcher found = Pattern.compile("\"" + name + "\": (\\d+)").matcher(line);
        check(found.find());
        return Integer.parseInt(found.group(1));
    }

    void answer(String line) {
        int n = number(line, "n");
        String kind = line.replaceAll(".*\"kind\": \"(\\w+)\".*", "$1");
        String said;
        try {
            Step step = new Step(kind, number(line, "article"), number(line, "author"), number(line, "offset"));
            said = "\"articles\": [" + String.join(", ", request(step)) + "]";
        } catch (Exception error) {
            said = "\"error\": \"" + (kind + ": " + error).replaceAll("[^\\w :.]", " ") + "\"";
        }
        System.out.println("{\"n\": " + n + ", " + said + "}");
    }

    public static void main(String[] arguments) throws Exception {
        URI url = URI.create(System.getenv("DATABASE_URL"));
        String[] login = url.getUserInfo().split(":");
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl("jdbc:postgresql://" + url.getHost() + ":" + url.getPort() + url.getPath());
        config.setUsername(login[0]);
        config.setPassword(login[1]);
        try (HikariDataSource pool = new HikariDataSource(config)) {
            Blog blog = new Blog(pool);
            ExecutorService threads = Executors.newCachedThreadPool();
            var lines = new BufferedReader(new InputStreamReader(System.in));
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String asked = line;
                threads.submit(() -> blog.answer(asked));
            }
            threads.shutdown();
            threads.awaitTermination(10, TimeUnit.SECONDS);
        }
    }
}
