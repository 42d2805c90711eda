//! What a statement costs on its way through the classifier and the router. Prints; run it in release:
//! `cargo test --release --test classifier_speed -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use weir::router::{FunctionLists, Learned, Replicas, SessionView, Transaction, World, route};
use weir::sql::lexer::Lexer;
use weir::sql::{Classifier, Modes, SkeletonKeys, StandardConformingStrings, skeleton};

const ON: StandardConformingStrings = StandardConformingStrings::On;

const STATEMENTS: [&str; 5] = [
    "SELECT abalance FROM pgbench_accounts WHERE aid = 4711000;",
    "UPDATE pgbench_accounts SET abalance = abalance + -1234 WHERE aid = 4711000;",
    "BEGIN",
    "SELECT * FROM t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)",
    "SELECT users.id, users.name, users.email, addresses.street, addresses.city FROM users \
     LEFT OUTER JOIN addresses ON users.id = addresses.user_id WHERE users.email = $1 AND users.active = true \
     ORDER BY users.created_at DESC LIMIT $2 OFFSET $3",
];

/// The best of several rounds, in nanoseconds a call.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 100_000;
    let round = |_| {
        let started = Instant::now();
        (0..CALLS).for_each(|_| call());
        started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..7).map(round).fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "prints timings; meaningful in release only"]
fn print_the_cost_of_a_known_statement() {
    let keys = SkeletonKeys::random();
    let classifier = Classifier::new(1000);
    let learned = Learned::new(10, Duration::from_secs(60));
    let functions = FunctionLists::default();
    let world = World {
        replicas: Replicas::Usable,
        catalog: None,
        learned: &learned,
        rules: &[],
        functions: &functions,
        now: Instant::now(),
    };
    let session = SessionView {
        transaction: Transaction::None,
        pin: None,
        target: None,
        user: "u",
        database: "d",
        application_name: "",
        defaults: Modes::default(),
    };
    println!("{:>6} {:>8} {:>9} {:>9} {:>8} {:>9}", "bytes", "lex", "skeleton", "classify", "route", "miss");
    for sql in STATEMENTS {
        let text = sql.as_bytes();
        let lex = nanoseconds(|| {
            black_box(Lexer::new(black_box(text), ON).filter(|token| token.is_ok()).count());
        });
        let hash = nanoseconds(|| {
            black_box(skeleton(black_box(text), ON, &keys)).ok();
        });
        let hit = nanoseconds(|| drop(black_box(classifier.classify(black_box(text), ON))));
        let verdict = classifier.classify(text, ON);
        let decide = nanoseconds(|| {
            black_box(route(black_box(&verdict), text, &session, &world));
        });
        let mut fresh = 0u32;
        let started = Instant::now();
        while fresh < 2000 {
            fresh += 1;
            // Another name is another shape.
            black_box(classifier.classify(
                format!("{sql} -- \n").replace("FROM ", &format!("FROM x{fresh}, ")).as_bytes(),
                ON,
            ));
        }
        let miss = started.elapsed().as_secs_f64() * 1e9 / f64::from(fresh);
        println!("{:>6} {lex:>8.0} {hash:>9.0} {hit:>9.0} {decide:>8.1} {miss:>9.0}", sql.len());
    }
}
