//! Who is found where, and how often the servers are asked.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::*;
use crate::config::{self, AuthPlace, ServerProof, load_with};
use crate::users::query::{Asking, AskingForRoles};

/// What the servers know, and how often they were asked.
#[derive(Default)]
struct Servers {
    secrets: Mutex<HashMap<String, String>>,
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most: AtomicUsize,
    away: Mutex<bool>,
    /// Answers wait for this where there is one.
    gate: Option<Notify>,
}

impl Servers {
    fn knowing(users: &[(&str, &str)]) -> Arc<Self> {
        let servers = Self::default();
        users.iter().for_each(|(name, secret)| servers.set(name, secret));
        Arc::new(servers)
    }

    fn set(&self, name: &str, secret: &str) {
        self.secrets.lock().unwrap().insert(name.to_owned(), secret.to_owned());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Directory for Servers {
    fn secret<'a>(&'a self, place: &'a AuthPlace, name: &'a str) -> Asking<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            match &self.gate {
                Some(gate) => gate.notified().await,
                None => tokio::task::yield_now().await,
            }
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            let of = |name: &str| self.secrets.lock().unwrap().get(name).map(Secret::new);
            let away = *self.away.lock().unwrap();
            if away {
                Err(NoAnswer)
            } else {
                Ok(of(&format!("{}.{name}", place.database)).or_else(|| of(name)))
            }
        })
    }

    fn roles<'a>(&'a self, role: &'a Arc<str>) -> AskingForRoles<'a> {
        Box::pin(async move {
            let away = *self.away.lock().unwrap();
            if away { Err(NoAnswer) } else { Ok([&**role, "all"].map(str::to_owned).into()) }
        })
    }
}

/// A configuration of which only this is to be said.
fn config(name: &str, text: &str) -> config::Config {
    let file = std::env::temp_dir().join(format!("weir-list-{name}-{}.toml", std::process::id()));
    std::fs::write(&file, format!("[[servers]]\nhost = \"db\"\n{text}")).unwrap();
    let config = load_with(&file, &HashMap::new());
    std::fs::remove_file(&file).unwrap();
    config.unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

const ASKING: &str =
    "[auth]\nquery = true\nquery_user = \"asker\"\nquery_ttl = \"1h\"\nquery_negative_ttl = \"1h\"\n";

const VERIFIER: &str = "SCRAM-SHA-256$7777:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

fn users(name: &str, text: &str, servers: &Arc<Servers>) -> Arc<Users> {
    Arc::new(Users::of(&config(name, text), servers.clone()).unwrap())
}

/// What is found, in a word: who it is to the servers and by which password, or nobody, or that nobody can tell.
async fn found(users: &Users, name: &str) -> String {
    match users.find(name, "shop").await {
        Found::Account(Account { user, .. }) => match &user.server_proof {
            ServerProof::Password(password) => format!("{} by {}", user.server_user, password.expose()),
            _ => user.server_user.to_string(),
        },
        Found::Nobody(_) => "nobody".to_owned(),
        Found::Refused(error) => error.sqlstate().to_owned(),
    }
}

#[tokio::test]
async fn a_name_is_looked_for_in_the_configuration_then_in_the_list_then_on_the_servers() {
    let list = std::env::temp_dir().join(format!("weir-list-{}.txt", std::process::id()));
    std::fs::write(&list, "\"app\" \"listed\"\n\"people\" \"listed\"\n\"out\" \"\"\n\"named\" \"listed\"")
        .unwrap();
    let text = format!(
        "[[users]]\nname = \"app\"\npassword = \"own\"\n\
         [[users]]\nname = \"named\"\nserver_user = \"other\"\npool_size = 3\n\
         [[users]]\nname = \"far\"\ntarget = \"primary\"\n{ASKING}userlist = \"{}\"",
        list.display()
    );
    let servers = Servers::knowing(&[
        ("app", "asked"),
        ("people", "asked"),
        ("out", "asked"),
        ("far", "asked"),
        ("any", "asked"),
    ]);
    let users = users("order", &text, &servers);
    std::fs::remove_file(&list).unwrap();
    for (name, expected) in [
        ("app", "app by own"),
        ("people", "people by listed"),
        ("out", "out"),
        ("named", "other by listed"),
        ("far", "far by asked"),
        ("any", "any by asked"),
        ("none", "nobody"),
    ] {
        assert_eq!(found(&users, name).await, expected, "{name}");
    }
    assert_eq!(servers.asked(), 3);
    let Found::Account(named) = users.find("named", "shop").await else { panic!() };
    assert_eq!(named.user.pool_size, Some(3));
    let Found::Account(far) = users.find("far", "shop").await else { panic!() };
    assert_eq!(far.user.target, crate::sql::Target::Primary);
}

#[tokio::test]
async fn answers_of_either_kind_are_kept_and_a_doubt_asks_again() {
    let servers = Servers::knowing(&[("any", "asked")]);
    let users = users("kept", ASKING, &servers);
    for _ in 0..3 {
        assert_eq!(found(&users, "any").await, "any by asked");
        assert_eq!(found(&users, "none").await, "nobody");
    }
    assert_eq!(servers.asked(), 2);
    servers.set("any", "changed");
    // Who guesses has nobody asked at once.
    users.disproved("any", "shop");
    assert_eq!((found(&users, "any").await, servers.asked()), ("any by asked".to_owned(), 2));
    tokio::time::sleep(Duration::from_millis(1050)).await;
    users.disproved("any", "shop");
    users.disproved("never asked for", "shop");
    assert_eq!((found(&users, "any").await, servers.asked()), ("any by changed".to_owned(), 3));
}

#[tokio::test]
async fn who_asks_for_the_same_name_is_answered_by_one_question() {
    let servers = Arc::new(Servers { gate: Some(Notify::new()), ..Servers::default() });
    servers.set("any", "asked");
    let users = users("joined", ASKING, &servers);
    let all: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let users = users.clone();
                async move { found(&users, "any").await }
            })
        })
        .collect();
    while servers.asked() == 0 {
        tokio::task::yield_now().await;
    }
    // The one who asked leaves, and another one asks for those who wait.
    all[0].abort();
    while servers.asked() == 1 {
        tokio::task::yield_now().await;
    }
    servers.gate.as_ref().unwrap().notify_waiters();
    servers.gate.as_ref().unwrap().notify_one();
    for one in all.into_iter().skip(1) {
        assert_eq!(one.await.unwrap(), "any by asked");
    }
    assert_eq!(servers.asked(), 2);
}

#[tokio::test]
async fn made_up_names_have_few_questions_on_their_way_and_leave_nothing() {
    let servers = Servers::knowing(&[]);
    let users = users("storm", ASKING, &servers);
    let all: Vec<_> = (0..200)
        .map(|number| {
            tokio::spawn({
                let users = users.clone();
                async move { found(&users, &format!("nobody{number}")).await }
            })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), "nobody");
    }
    assert_eq!((servers.asked(), servers.most.load(Ordering::SeqCst)), (200, 4));
    assert_eq!(users.inquiries.as_ref().unwrap().questions(), 0);
    assert_eq!(found(&users, &"n".repeat(64)).await, "nobody");
    assert_eq!(servers.asked(), 200, "no role has such a name");
}

#[tokio::test]
async fn while_nobody_answers_the_last_answer_counts() {
    let servers = Servers::knowing(&[("any", "asked")]);
    let asking = ASKING.replace("1h", "0ms");
    let users = users("away", &asking, &servers);
    assert_eq!(
        (found(&users, "any").await, found(&users, "none").await),
        ("any by asked".into(), "nobody".into())
    );
    *servers.away.lock().unwrap() = true;
    assert_eq!(
        (found(&users, "any").await, found(&users, "none").await),
        ("any by asked".into(), "nobody".into())
    );
    assert_eq!(found(&users, "new").await, "08006");
    *servers.away.lock().unwrap() = false;
    assert_eq!(found(&users, "new").await, "nobody");
}

#[tokio::test]
async fn a_statement_of_ones_own_is_asked_in_the_client_s_database() {
    let servers =
        Servers::knowing(&[("there.any", "in there"), ("shop.any", "in shop"), ("fixed.any", "in fixed")]);
    let own = ASKING.replace("true", "\"SELECT * FROM lookup($1)\"");
    let other = users("shop", &own, &servers);
    assert_eq!(found(&other, "any").await, "any by in shop");
    let database = "[[databases]]\nname = \"shop\"\nserver_database = \"there\"\n";
    let other = users("there", &format!("{own}{database}"), &servers);
    assert_eq!(found(&other, "any").await, "any by in there");
    let other = users("fixed", &format!("{own}query_database = \"fixed\"\n{database}"), &servers);
    assert_eq!(found(&other, "any").await, "any by in fixed");
    // One that is for this database alone; PostgreSQL's own passwords are the same in all.
    let lookup = "auth_query = \"SELECT * FROM l($1)\"\n";
    let other = users("lookup", &format!("{ASKING}{database}{lookup}"), &servers);
    assert_eq!(found(&other, "any").await, "any by in there");
    let other = users("all", &format!("{ASKING}{database}"), &servers);
    assert_eq!(found(&other, "any").await, "nobody");
}

#[tokio::test]
async fn a_made_up_user_is_challenged_as_the_others_are() {
    let servers = Servers::knowing(&[("any", VERIFIER)]);
    let users = users("decoy", ASKING, &servers);
    found(&users, "any").await;
    let Found::Nobody(decoy) = users.find("none", "shop").await else { panic!() };
    assert_eq!((decoy.iterations, decoy.salt.len()), (7777, 16));
    let Found::Nobody(again) = users.find("none", "shop").await else { panic!() };
    assert_eq!(decoy, again);
}

#[tokio::test]
async fn roles_are_those_of_the_role_that_a_user_is_on_the_servers() {
    let servers = Servers::knowing(&[]);
    let listed = config(
        "roles",
        "[[users]]\nname = \"listed\"\npassword = \"x\"\nserver_user = \"other\"\n\
         [[users]]\nname = \"named\"\nserver_user = \"another\"\nserver_password = \"x\"\n\
         [auth]\nquery = true\nquery_user = \"listed\"\n",
    );
    let users = Users::of(&listed, servers.clone()).unwrap();
    for (name, role) in [("listed", "other"), ("named", "another"), ("anybody", "anybody")] {
        assert_eq!(*users.roles(name).await.unwrap(), [role, "all"].map(str::to_owned), "{name}");
    }
    *servers.away.lock().unwrap() = true;
    assert!(users.roles("listed").await.is_err());
    assert!(Users::new(&listed.users).unwrap().roles("listed").await.is_err(), "there is nobody to ask");
}
