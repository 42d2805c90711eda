//! A database of a few objects, made by a seed.

use harness::Dice;

use crate::acts::Act;
use crate::carriers::{self, Made, Maker};

/// What every world has besides its objects.
const GROUND: &str = "
    CREATE TABLE items (id int); INSERT INTO items VALUES (1), (2), (3);
    CREATE TABLE ledger (n int); INSERT INTO ledger VALUES (1), (2);
    CREATE TABLE sink (x text);
    CREATE SEQUENCE numbers;
    CREATE SCHEMA code_hidden";

/// What everybody may do there.
const RIGHTS: &str = "
    GRANT ALL ON SCHEMA public, code_hidden TO PUBLIC;
    GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC";

/// The objects of a database.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) objects: Vec<Made>,
}

impl World {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let carriers = carriers::all();
        // One object hides what another one does not: a database in which operators write is one to be careful with.
        let count = if dice.percent(70) { 1 } else { 2 };
        let object = |nth| Maker::make(dice.pick(&carriers), nth, Dice::new(seed, 2 + nth as u64));
        Self { objects: (0..count).map(object).collect() }
    }

    /// Kinds of objects, and what they do.
    pub(crate) fn names(&self) -> String {
        let name = |made: &Made| format!("{} {:?}", made.carrier, made.act);
        self.objects.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn has(&self, carrier: &str) -> bool {
        self.objects.iter().any(|made| made.carrier == carrier)
    }

    pub(crate) fn does(&self, act: Act) -> bool {
        self.objects.iter().any(|made| made.act == act)
    }

    /// What makes it, in a database of `app`: statements for a superuser.
    pub(crate) fn setup(&self) -> Vec<String> {
        let mut setup = vec!["SET ROLE app".to_owned(), GROUND.to_owned()];
        for sql in self.objects.iter().flat_map(|made| &made.setup) {
            match sql.strip_prefix('!') {
                Some(sql) => {
                    setup.extend(["RESET ROLE".to_owned(), sql.to_owned(), "SET ROLE app".to_owned()])
                }
                None => setup.push(sql.clone()),
            }
        }
        setup.extend(["RESET ROLE".to_owned(), RIGHTS.to_owned()]);
        setup
    }

    /// The same for the reader of a failure, without what every world has.
    pub(crate) fn shown(&self) -> String {
        self.objects.iter().flat_map(|made| &made.setup).map(|sql| format!("  {sql};\n")).collect()
    }
}
