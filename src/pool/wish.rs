//! What a session would have of a connection, and how well an idle one suits it.
//!
//! Pure.

use crate::backend::Backend;
use crate::backend::past::{Past, Placeholders, TempTables};
use crate::backend::settings::Settings;

/// The setting that a process takes no new value of, once it has had temporary tables.
const BUFFERS: &str = "temp_buffers";

/// What a session would have.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The settings that it wants.
    pub(crate) settings: &'a Settings,
    /// The custom settings that it has spoken of; `None` where nobody looks at any.
    pub(crate) spoken: Option<&'a Placeholders>,
    /// Whether its request sets what no process can that has had temporary tables.
    pub(crate) buffers: TempTables,
}

impl<'a> From<&'a Settings> for Wish<'a> {
    fn from(settings: &'a Settings) -> Self {
        Self { settings, spoken: None, buffers: TempTables(false) }
    }
}

/// The same, of one who waits.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    settings: Settings,
    spoken: Option<Placeholders>,
    buffers: TempTables,
}

impl From<Wish<'_>> for Wanted {
    fn from(wish: Wish<'_>) -> Self {
        Self { settings: wish.settings.clone(), spoken: wish.spoken.cloned(), buffers: wish.buffers }
    }
}

impl Wanted {
    pub(super) fn wish(&self) -> Wish<'_> {
        Wish { settings: &self.settings, spoken: self.spoken.as_ref(), buffers: self.buffers }
    }
}

/// How well a connection suits, from the worst to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suits {
    /// It cannot be given the settings that are wanted.
    Never,
    /// It knows custom settings of others, which the session would see.
    Barely,
    /// Its settings are to be changed.
    Well,
    /// It carries what is wanted.
    AsItIs,
}

impl Wish<'_> {
    /// How well a connection suits that carries these settings and has this past.
    pub(super) fn suits(&self, carried: &Settings, past: &Past) -> Suits {
        let stuck =
            past.temporary.0 && (self.buffers.0 || carried.get(BUFFERS) != self.settings.get(BUFFERS));
        if stuck {
            Suits::Never
        } else if !self.spoken.is_none_or(|spoken| past.placeholders.are_within(spoken)) {
            Suits::Barely
        } else if *carried == *self.settings {
            Suits::AsItIs
        } else {
            Suits::Well
        }
    }

    /// The idle connection that suits best, and how well: of equals one that knows the session's custom settings, so that
    /// others are left to who knows none; then its own; then the youngest, which is the last.
    pub(super) fn choose(&self, idle: &[Box<Backend>], own: Option<usize>) -> Option<(usize, Suits)> {
        let speaks = self.spoken.is_some_and(|spoken| !spoken.is_empty());
        let mut best = None;
        for at in own.into_iter().chain((0..idle.len()).rev()) {
            let Backend { settings, past, .. } = &*idle[at];
            let suits = self.suits(settings, past);
            let rank = (suits, speaks && !past.placeholders.is_empty());
            if rank == (Suits::AsItIs, speaks) {
                return Some((at, suits));
            }
            if suits > Suits::Never && best.is_none_or(|(_, best)| rank > best) {
                best = Some((at, rank));
            }
        }
        best.map(|(at, (suits, _))| (at, suits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::value::Value;

    #[test]
    fn what_others_left_decides_before_settings() {
        let value = |text: &str| Some(Value::Raw(text.into()));
        let (none, some) = (Settings::default(), Settings::default().with("work_mem", value("5MB")));
        let mut placeholders = Placeholders::default();
        placeholders.speak_of("app.tenant");
        let (fresh, spoken) = (Placeholders::default(), placeholders.clone());
        let (clean, soiled) = (Past::default(), Past { placeholders, ..Past::default() });
        let wish = |spoken| Wish { spoken, ..Wish::from(&none) };
        assert_eq!(wish(Some(&fresh)).suits(&none, &clean), Suits::AsItIs);
        assert_eq!(wish(Some(&fresh)).suits(&some, &clean), Suits::Well);
        assert_eq!(wish(Some(&fresh)).suits(&none, &soiled), Suits::Barely);
        assert_eq!(wish(Some(&spoken)).suits(&none, &soiled), Suits::AsItIs);
        assert_eq!(wish(None).suits(&none, &soiled), Suits::AsItIs, "nobody looks");
    }

    #[test]
    fn buffers_of_a_process_with_temporary_tables_stay_as_they_are() {
        let few = Settings::default().with(BUFFERS, Some(Value::Raw("1MB".into())));
        let none = Settings::default();
        let (clean, past) = (Past::default(), Past { temporary: TempTables(true), ..Past::default() });
        for (wanted, carried, past, never) in [
            (&none, &none, &past, false),
            (&few, &none, &past, true),
            (&none, &few, &past, true),
            (&few, &few, &past, false),
            (&few, &none, &clean, false),
        ] {
            assert_eq!(Wish::from(wanted).suits(carried, past) == Suits::Never, never);
            let sets = Wish { buffers: TempTables(true), ..Wish::from(wanted) };
            assert_eq!(sets.suits(carried, past) == Suits::Never, past.temporary.0);
        }
    }
}
