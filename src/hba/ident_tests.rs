use super::*;
use crate::hba::files::tests::rules;

/// Whether `proved` may be `user` by the map `m` of these lines.
fn allowed(ident: &str, proved: &str, user: &str) -> Result<(), Mismatch> {
    let rules = rules("local all all peer map=m", ident).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let roles = [user, "staff"].map(str::to_owned);
    rules.maps.allow(Some(&"m".into()), proved, &Who { user, roles: Some(&roles) })
}

#[test]
fn lines_of_the_map_are_tried_one_after_the_other() {
    for (ident, proved, user, may) in [
        ("m root app", "root", "app", true),
        ("m root app", "root", "root", false),
        ("x root app", "root", "app", false),
        ("m root app\nm root admin", "root", "admin", true),
        ("m \"a b\" app", "a b", "app", true),
        ("m root all", "root", "anybody", true),
        ("m root \"all\"", "root", "anybody", false),
        ("m root /^app_.*$", "root", "app_1", true),
        ("m root /^app_.*$", "root", "other", false),
        ("m /^(.*)@example\\.com$ \\1", "alice@example.com", "alice", true),
        ("m /^(.*)@example\\.com$ \\1", "alice@example.org", "alice", false),
        ("m /^(.*)@example\\.com$ \\1_ro", "alice@example.com", "alice_ro", true),
        ("m /^(.*)@example\\.com$ \\1", "all@example.com", "anybody", false),
        ("m /^(.*)@example\\.com$ \\1", "/x@example.com", "/x", true),
        ("m /example\\.com$ guest", "alice@example.com", "guest", true),
        ("m /^(a|b)$ guest", "a", "guest", true),
        ("m \\1 app", "x", "app", false),
        ("m root \\1", "root", "\\1", true),
        ("m root +staff", "root", "app", true),
        ("m root +app", "root", "app", true),
        ("m root +others", "root", "app", false),
        ("m root \"+staff\"", "root", "app", false),
        ("m /^(.*)@example\\.com$ +staff", "alice@example.com", "app", true),
        // What becomes of a backreference is a name.
        ("m /^(.*)$ \\1", "+staff", "app", false),
    ] {
        assert_eq!(allowed(ident, proved, user).is_ok(), may, "{ident}: {proved} as {user}");
    }
}

#[test]
fn without_a_map_the_names_are_the_same() {
    let maps = Maps::default();
    let who = |user| Who { user, roles: None };
    assert_eq!(maps.allow(None, "app", &who("app")), Ok(()));
    assert_eq!(maps.allow(None, "app", &who("App")), Err(Mismatch::Names));
    assert_eq!(maps.allow(Some(&"m".into()), "app", &who("app")), Err(Mismatch::Unmapped));
}

#[test]
fn whose_roles_nobody_has_asked_for_gets_in_by_no_role() {
    let rules = rules("local all all peer map=m", "m root +staff\nn root app").unwrap();
    assert!(rules.maps.ask_for_roles("m") && !rules.maps.ask_for_roles("n"));
    let outcome = rules.maps.allow(Some(&"m".into()), "root", &Who { user: "staff", roles: None });
    assert_eq!(outcome, Err(Mismatch::Unmapped));
}

#[test]
fn lines_that_are_wrong() {
    for (ident, words) in [
        ("m", "missing entry at end of line"),
        ("m a", "missing entry at end of line"),
        ("m a b,c", "multiple values in ident field"),
        ("m /( b", "not balanced"),
        ("m /^a$ \\1", "no subexpressions"),
        ("m /^(a|ab)c*$ \\1", "cannot tell"),
    ] {
        let mistakes = rules("local all all peer", ident).expect_err(ident);
        assert!(mistakes.to_string().contains(words), "{mistakes}");
    }
}
