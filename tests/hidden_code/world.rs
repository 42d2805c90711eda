//! A database of a few objects, made by a seed.

use harness::Dice;

use crate::carriers::{self, Maker, Object};

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

/// How weir hears of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It reads of them, as nobody is there before they are.
    Before,
    /// They are made through it, by the weir with so many connections, a moment before they are used.
    Through(usize),
}

/// The objects of a database.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) made: Made,
    pub(crate) objects: Vec<Object>,
}

impl World {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let carriers = carriers::all();
        // One object hides what another one does not: a database in which operators write is one to be careful with.
        let count = if dice.percent(70) { 1 } else { 2 };
        let made = if dice.percent(20) { Made::Through(*dice.pick(&[1, 2])) } else { Made::Before };
        let object = |nth| Maker::make(dice.pick(&carriers), nth, Dice::new(seed, 2 + nth as u64));
        Self { made, objects: (0..count).map(object).collect() }
    }

    /// Kinds of objects, and what they do.
    pub(crate) fn names(&self) -> String {
        let name = |made: &Object| format!("{} {:?}", made.carrier, made.act);
        self.objects.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// What every world has, in a database of `app`: statements for a superuser.
    pub(crate) fn ground() -> Vec<String> {
        vec!["SET ROLE app".to_owned(), GROUND.to_owned(), "RESET ROLE".to_owned(), RIGHTS.to_owned()]
    }

    /// What makes its objects there.
    pub(crate) fn setup(&self) -> Vec<String> {
        let mut setup = vec!["SET ROLE app".to_owned()];
        for sql in self.objects.iter().flat_map(|object| &object.setup) {
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

    /// The same for the reader of a failure.
    pub(crate) fn shown(&self) -> String {
        let how = match self.made {
            Made::Before => "",
            Made::Through(_) => "  -- made through weir:\n",
        };
        let setup = self.objects.iter().flat_map(|object| &object.setup);
        setup.fold(how.to_owned(), |text, sql| text + &format!("  {sql};\n"))
    }
}
