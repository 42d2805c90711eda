//! What is shown at the moment, and what keys do to it. Pure.

use std::cmp::Ordering;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::tables::{Cell, SECTIONS, Table, table};
use crate::admin::snapshot::Snapshot;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// To go on, with what it changed.
    Show,
    /// To go on as before: it means nothing.
    Same,
    /// To end.
    End,
}

/// What is shown.
#[derive(Debug)]
pub(super) struct Top {
    pub(super) url: String,
    pub(super) seen: Option<Snapshot>,
    /// Why nothing is told any more, if so.
    pub(super) lost: Option<String>,
    /// The number of the section.
    pub(super) section: usize,
    /// The column that rows are sorted by; as they were told without one.
    pub(super) sort: Option<usize>,
    /// The row that is chosen.
    pub(super) chosen: usize,
    /// Whether the keys are explained.
    pub(super) help: bool,
}

impl Top {
    /// Nothing is known yet.
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), seen: None, lost: None, section: 0, sort: None, chosen: 0, help: false }
    }

    /// weir has told something.
    pub(super) fn sees(&mut self, seen: Snapshot) {
        (self.seen, self.lost) = (Some(seen), None);
    }

    /// It tells nothing.
    pub(super) fn loses(&mut self, why: String) {
        self.lost = Some(why);
    }

    /// The table of the section, sorted.
    pub(super) fn table(&self) -> Table {
        let mut table = self.seen.as_ref().map(|seen| table(self.section, seen)).unwrap_or_default();
        if let Some(column) = self.sort {
            table.rows.sort_by(|a, b| order(a.cells.get(column), b.cells.get(column)));
        }
        table
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: KeyEvent) -> Next {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Next::End,
            KeyCode::Char('q') => return Next::End,
            KeyCode::Esc if !self.help => return Next::End,
            KeyCode::Esc => self.help = false,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Tab | KeyCode::Right => self.turn_to((self.section + 1) % SECTIONS.len()),
            KeyCode::BackTab | KeyCode::Left => {
                self.turn_to((self.section + SECTIONS.len() - 1) % SECTIONS.len());
            }
            KeyCode::Char(digit @ '1'..='8') => self.turn_to(digit as usize - '1' as usize),
            KeyCode::Down | KeyCode::Char('j') => self.chosen += 1,
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::PageDown => self.chosen += 10,
            KeyCode::PageUp => self.chosen = self.chosen.saturating_sub(10),
            KeyCode::Home => self.chosen = 0,
            KeyCode::Char('s') => self.sort_by_the_next(),
            _ => return Next::Same,
        }
        self.chosen = self.chosen.min(self.table().rows.len().saturating_sub(1));
        Next::Show
    }

    fn turn_to(&mut self, section: usize) {
        (self.section, self.sort, self.chosen) = (section, None, 0);
    }

    fn sort_by_the_next(&mut self) {
        let columns = self.table().columns.len();
        let next = self.sort.map_or(0, |column| column + 1);
        self.sort = (next < columns).then_some(next);
    }
}

/// The greatest number first, then texts by the alphabet, then what is not known.
fn order(a: Option<&Cell>, b: Option<&Cell>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else { return Ordering::Equal };
    match (a.number, b.number) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => (a.text.is_empty(), &a.text).cmp(&(b.text.is_empty(), &b.text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::snapshot::{Kept, Reads};

    fn press(top: &mut Top, code: KeyCode) -> Next {
        top.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn kept(reason: &str, minute: u64, start: u64) -> Kept {
        Kept { reason: reason.to_owned(), minute, start, ..Kept::default() }
    }

    #[test]
    fn keys_turn_to_sections_and_rows_and_stay_within_them() {
        let mut top = Top::new("here");
        assert_eq!(press(&mut top, KeyCode::Down), Next::Show);
        assert_eq!(top.chosen, 0, "there is nothing yet");
        press(&mut top, KeyCode::Left);
        assert_eq!(SECTIONS[top.section], "Events");
        press(&mut top, KeyCode::Tab);
        press(&mut top, KeyCode::Char('2'));
        assert_eq!(SECTIONS[top.section], "Reads");
        let kept = vec![kept("b", 5, 9), kept("a", 1, 20)];
        top.sees(Snapshot { reads: Reads { kept, ..Reads::default() }, ..Snapshot::default() });
        press(&mut top, KeyCode::PageDown);
        assert_eq!(top.chosen, 1);
        assert_eq!(press(&mut top, KeyCode::F(5)), Next::Same);
        let first = |top: &Top| top.table().rows[0].cells[0].text.clone();
        assert_eq!(first(&top), "b", "as it was told");
        for by in ["a", "b", "a"] {
            press(&mut top, KeyCode::Char('s'));
            assert_eq!(first(&top), by);
        }
    }

    #[test]
    fn it_ends_by_the_keys_that_people_try() {
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(press(&mut Top::new("here"), code), Next::End);
        }
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(Top::new("here").key(interrupt), Next::End);
        let mut top = Top::new("here");
        press(&mut top, KeyCode::Char('?'));
        assert!(top.help);
        assert_eq!(press(&mut top, KeyCode::Esc), Next::Show);
        assert!(!top.help);
    }
}
